"""ID3v2 tags of version 2.2, 2.3 and 2.4, edited without reading frames that are not ours.

Conventions: the tag keeps its version, its flags and, where the new frames fit, its size. All other frames are copied
byte for byte, in their order; our frames follow them. A tag with unsynchronisation is decoded, edited, encoded again.
"""

import zlib
from dataclasses import dataclass
from typing import Literal

from pipeline.reading.comment_tags.comment import CAPTION_KEY, MODEL_KEY, Comment, FieldName

HEADER_BYTES = 10
PADDING_BYTES = 1024
"""Room for later edits in a tag that had to grow."""
_UNSYNCHRONISED, _EXTENDED, _FOOTER = 0x80, 0x40, 0x10
_DESCRIPTION = "muscaps"
_LANGUAGE = b"eng"
_ENCODINGS = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}
_SizeCoding = Literal["plain", "syncsafe"]


@dataclass(frozen=True, kw_only=True)
class _Version:
    """What differs between versions."""

    major: int
    id_bytes: int
    size_bytes: int
    flag_bytes: int
    comment_id: bytes
    text_id: bytes
    genre_id: bytes


_VERSIONS = {
    2: _Version(major=2, id_bytes=3, size_bytes=3, flag_bytes=0, comment_id=b"COM", text_id=b"TXX", genre_id=b"TCO"),
    3: _Version(major=3, id_bytes=4, size_bytes=4, flag_bytes=2, comment_id=b"COMM", text_id=b"TXXX", genre_id=b"TCON"),
    4: _Version(major=4, id_bytes=4, size_bytes=4, flag_bytes=2, comment_id=b"COMM", text_id=b"TXXX", genre_id=b"TCON"),
}


def tag_size(header: bytes) -> int:
    """Return the length of the tag that starts with these ten bytes, footer included; 0 where there is no tag.

    Raises:
        ValueError: The version is not known.
    """
    if header[:3] != b"ID3" or len(header) < HEADER_BYTES:
        return 0
    if header[3] not in _VERSIONS:
        raise ValueError(f"ID3v2.{header[3]} is not supported: use sidecars")
    footer = HEADER_BYTES if header[3] == 4 and header[5] & _FOOTER else 0
    return HEADER_BYTES + _from_syncsafe(header[6:10]) + footer


def edited_tag(tag: bytes, comment: Comment) -> bytes:
    """Return a tag with our frames replaced; a new ID3v2.4 tag where there is none.

    Args:
        tag: The whole tag, as long as `tag_size` says, or empty.
        comment: What to write.

    Raises:
        ValueError: The tag cannot be edited safely.
    """
    if not tag:
        version = _VERSIONS[4]
        content = _own_frames(version, comment, "syncsafe") + _field_frames(version, comment, [], "syncsafe")[1]
        return _assembled(version, 0, b"", content, 0)
    version, flags = _VERSIONS[tag[3]], tag[5]
    size = _from_syncsafe(tag[6:10])
    body = tag[HEADER_BYTES : HEADER_BYTES + size]
    if version.major == 2 and flags & _EXTENDED:
        raise ValueError("a compressed ID3v2.2 tag is not supported: use sidecars")
    is_encoded = version.major < 4 and bool(flags & _UNSYNCHRONISED)
    if is_encoded:
        body = body.replace(b"\xff\0", b"\xff")
    extended = _extended_header(version, flags, body)
    frames, rest, coding = _split(version, body[len(extended) :])
    kept = [frame for frame in frames if not _is_own(version, frame)]
    kept, fields = _field_frames(version, comment, kept, coding)
    content = b"".join(kept) + _own_frames(version, comment, coding) + fields
    if rest.strip(b"\0"):
        content += rest  # data that is no frame; it stays the last thing before the padding
    return _assembled(version, flags, extended, content, size, keeps_revision=tag[4])


def _assembled(
    version: _Version, flags: int, extended: bytes, content: bytes, old_size: int, *, keeps_revision: int = 0
) -> bytes:
    """Return a whole tag around its frames."""
    is_encoded = version.major < 4 and bool(flags & _UNSYNCHRONISED)
    has_footer = version.major == 4 and bool(flags & _FOOTER)
    extended_bytes = len(_with_checksum(version, extended, content, 0))
    needed = len(_unsynchronised(bytes(extended_bytes) + content)) if is_encoded else extended_bytes + len(content)
    size = old_size if needed <= old_size or has_footer else needed + PADDING_BYTES
    size = needed if has_footer else size
    extended = _with_checksum(version, extended, content, size - needed)
    body = extended + content
    if is_encoded:
        body = _unsynchronised(body)
        size = max(size, len(body))
    if size >= 1 << 28:
        raise ValueError("the ID3 tag is too large: use sidecars")
    end = bytes([version.major, keeps_revision, flags]) + _to_syncsafe(size)
    return b"ID3" + end + body + bytes(size - len(body)) + (b"3DI" + end if has_footer else b"")


def _extended_header(version: _Version, flags: int, body: bytes) -> bytes:
    """Return the extended header at the start of a body, or nothing."""
    if version.major == 2 or not flags & _EXTENDED:
        return b""
    if version.major == 3:
        return body[: 4 + int.from_bytes(body[:4], "big")]
    if len(body) > 5 and body[5] & 0x20:
        raise ValueError("an ID3v2.4 tag with a checksum is not supported: use sidecars")
    return body[: _from_syncsafe(body[:4])]


def _with_checksum(version: _Version, extended: bytes, content: bytes, padding: int) -> bytes:
    """Return an ID3v2.3 extended header with the length of the padding and the checksum of the frames."""
    if version.major != 3 or len(extended) < 10:
        return extended
    checksum = zlib.crc32(content).to_bytes(4, "big") if extended[4] & 0x80 else b""
    return extended[:6] + padding.to_bytes(4, "big") + checksum


def _split(version: _Version, body: bytes) -> tuple[list[bytes], bytes, _SizeCoding]:
    """Return the frames of a tag, what follows them, and how their sizes are coded.

    Some programs write sizes of ID3v2.4 as plain numbers; the coding with which more of the tag is frames is used.
    """
    if version.major < 4:
        return (*_frames(version, body, "plain"), "plain")
    syncsafe, rest = _frames(version, body, "syncsafe")
    if rest.strip(b"\0"):
        plain, plain_rest = _frames(version, body, "plain")
        if len(plain_rest) < len(rest):
            return plain, plain_rest, "plain"
    return syncsafe, rest, "syncsafe"


def _frames(version: _Version, body: bytes, coding: _SizeCoding) -> tuple[list[bytes], bytes]:
    frames, start = [], 0
    header = version.id_bytes + version.size_bytes + version.flag_bytes
    while start + header <= len(body):
        name = body[start : start + version.id_bytes]
        digits = body[start + version.id_bytes : start + version.id_bytes + version.size_bytes]
        size = _from_syncsafe(digits) if coding == "syncsafe" else int.from_bytes(digits, "big")
        is_frame = name.isalnum() and name.upper() == name and start + header + size <= len(body)
        if not is_frame or (coding == "syncsafe" and any(digit & 0x80 for digit in digits)):
            break
        frames.append(body[start : start + header + size])
        start += header + size
    return frames, body[start:]


def _is_own(version: _Version, frame: bytes) -> bool:
    name = frame[: version.id_bytes]
    data = frame[version.id_bytes + version.size_bytes + version.flag_bytes :]
    if name not in (version.comment_id, version.text_id) or not data or data[0] not in _ENCODINGS:
        return False
    is_comment = name == version.comment_id
    if is_comment and data[1:4] != _LANGUAGE:
        return False
    description = _first_text(data[4 if is_comment else 1 :], data[0])
    return description in ((_DESCRIPTION,) if is_comment else (CAPTION_KEY, MODEL_KEY))


def _first_text(data: bytes, encoding: int) -> str:
    """Return a text up to its end mark; empty where it cannot be decoded."""
    if encoding in (1, 2):
        end = next((at for at in range(0, len(data) - 1, 2) if data[at : at + 2] == b"\0\0"), len(data))
    else:
        end = data.find(b"\0") if b"\0" in data else len(data)
    try:
        return data[:end].decode(_ENCODINGS[encoding])
    except UnicodeDecodeError:
        return ""


def _own_frames(version: _Version, comment: Comment, coding: _SizeCoding) -> bytes:
    frames = _frame(version, version.comment_id, _LANGUAGE, _DESCRIPTION, comment.text, coding)
    for name, value in comment.fields:
        frames += _frame(version, version.text_id, b"", name, value, coding)
    return frames


def _field_frames(
    version: _Version, comment: Comment, frames: list[bytes], coding: _SizeCoding
) -> tuple[list[bytes], bytes]:
    """Return the frames without those that are replaced, and the frames of the fields that are asked for."""
    new = b""
    for field, texts in comment.values.items():
        present = [frame for frame in frames if _is_field(version, frame, field)]
        if not comment.writes([_last_text(version, frame) for frame in present]):
            continue
        frames = [frame for frame in frames if frame not in present]
        text = ("\0" if version.major == 4 else "; ").join(texts)  # before version 2.4 there is one text
        if field == "description":
            new += _frame(version, version.comment_id, _LANGUAGE, "", text, coding)
        elif field == "genre":
            new += _frame(version, version.genre_id, b"", None, text, coding)
        elif version.major == 4:
            new += _frame(version, b"TMOO", b"", None, text, coding)
        else:
            new += _frame(version, version.text_id, b"", "MOOD", text, coding)
    return frames, new


def _is_field(version: _Version, frame: bytes, field: FieldName) -> bool:
    name = frame[: version.id_bytes]
    data = frame[version.id_bytes + version.size_bytes + version.flag_bytes :]
    if field == "genre":
        return name == version.genre_id
    if not data or data[0] not in _ENCODINGS:
        return field == "mood" and name == b"TMOO"
    if field == "description":
        return name == version.comment_id and data[1:4].lower() == _LANGUAGE and not _first_text(data[4:], data[0])
    return name == b"TMOO" or (name == version.text_id and _first_text(data[1:], data[0]).upper() == "MOOD")


def _last_text(version: _Version, frame: bytes) -> str:
    """Return the text of a frame, after its description where it has one."""
    data = frame[version.id_bytes + version.size_bytes + version.flag_bytes :]
    if not data or data[0] not in _ENCODINGS:
        return "?"  # it cannot be read, so it is not empty
    is_comment = frame[: version.id_bytes] == version.comment_id
    text = data[4 if is_comment else 1 :].decode(_ENCODINGS[data[0]], "replace")
    return text.rstrip("\0").rpartition("\0")[2].lstrip("\ufeff") or text.strip("\0\ufeff")


def _frame(
    version: _Version, name: bytes, language: bytes, description: str | None, text: str, coding: _SizeCoding
) -> bytes:
    """Return a frame; one without a description has the text alone."""
    if version.major == 4:
        encoding, end = 3, b"\0"
    elif text.isascii() or _is_latin(text):
        encoding, end = 0, b"\0"
    else:
        encoding, end = 1, b"\0\0"
    codec = "utf-16-le" if encoding == 1 else _ENCODINGS[encoding]
    mark = b"\xff\xfe" if encoding == 1 else b""
    data = (
        bytes([encoding]) + language + (b"" if description is None else mark + description.encode(codec) + end)
        + mark + text.encode(codec, "replace")
    )  # fmt: skip
    size = _to_syncsafe(len(data)) if coding == "syncsafe" else len(data).to_bytes(version.size_bytes, "big")
    return name + size + bytes(version.flag_bytes) + data


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _unsynchronised(data: bytes) -> bytes:
    """Insert a zero after each 0xff that a decoder could take for the start of audio."""
    encoded = bytearray()
    for index, byte in enumerate(data):
        encoded.append(byte)
        following = data[index + 1] if index + 1 < len(data) else 0
        if byte == 0xFF and (following >= 0xE0 or following == 0):
            encoded.append(0)
    return bytes(encoded)


def _from_syncsafe(digits: bytes) -> int:
    value = 0
    for digit in digits:
        value = value << 7 | digit & 0x7F
    return value


def _to_syncsafe(value: int) -> bytes:
    return bytes(value >> shift & 0x7F for shift in (21, 14, 7, 0))
