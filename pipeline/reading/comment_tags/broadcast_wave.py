"""The descriptions in the chunks `bext` and `iXML` of a broadcast WAV file.

Conventions: `bext` (EBU Tech 3285) begins with the description, 256 bytes of ASCII; `iXML` is XML with
`USER/DESCRIPTION`, which Soundminer and sound editors read. A description that is not ours stays, unless `overwrite` is
set. Everything else in a chunk stays byte for byte.
"""

import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

from pipeline.reading.comment_tags.comment import COMMENT_PREFIX, Comment

DESCRIPTION_BYTES = 256
"""Length of the description in `bext`."""
_BEXT_BYTES = 602
"""Length of `bext` without coding history; all after the description is zero in a new chunk, except the version."""
_VERSION_OFFSET = 256 + 32 + 32 + 10 + 8 + 8
_NEW_IXML = '<?xml version="1.0" encoding="UTF-8"?>\n<BWFXML>\n<IXML_VERSION>1.61</IXML_VERSION>\n</BWFXML>\n'
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DESCRIPTION = re.compile(
    r"(<USER\b[^>]*>(?:(?!</USER\s*>).)*?)<DESCRIPTION\b[^>]*(?:/>|>.*?</DESCRIPTION\s*>)", re.DOTALL
)
_USER_END = re.compile(r"</USER\s*>")
_EMPTY_USER = re.compile(r"<USER\s*/>")
_ROOT_END = re.compile(r"</BWFXML\s*>")


def edited_bext(data: bytes | None, comment: Comment) -> bytes | None:
    """Return the data of a `bext` chunk with our description; None if it keeps the one it has.

    Args:
        data: The chunk's data; None if the file has no such chunk.
        comment: What to write.

    Raises:
        ValueError: The description is too long, or the chunk too short.
    """
    description = _ascii(comment.text)
    if len(description) > DESCRIPTION_BYTES:
        description = _ascii(COMMENT_PREFIX + comment.caption)  # without the note about the master
    if len(description) > DESCRIPTION_BYTES:
        limit = DESCRIPTION_BYTES - len(COMMENT_PREFIX)
        raise ValueError(f"bext has room for a caption of {limit} characters, not {len(comment.caption)}: --max-chars")
    if data is None:
        version = (1).to_bytes(2, "little")
        start = description.ljust(_VERSION_OFFSET, b"\0") + version
        return start.ljust(_BEXT_BYTES, b"\0")
    if len(data) < _BEXT_BYTES:
        raise ValueError(f"the bext chunk has {len(data)} bytes instead of at least {_BEXT_BYTES}: use sidecars")
    present = data[:DESCRIPTION_BYTES].partition(b"\0")[0].decode("latin-1")
    if not comment.writes([present]):
        return None
    return description.ljust(DESCRIPTION_BYTES, b"\0") + data[DESCRIPTION_BYTES:]


def edited_ixml(data: bytes | None, comment: Comment) -> bytes | None:
    """Return the data of an `iXML` chunk with our description; None if it keeps the one it has.

    Args:
        data: The chunk's data; None if the file has no such chunk.
        comment: What to write.

    Raises:
        ValueError: The chunk is not XML that can be edited safely.
    """
    text, end = _NEW_IXML, b""
    if data is not None:
        content = data.rstrip(b"\0")
        text, end = _decoded(content), data[len(content) :]
    present = _description(text)
    if present is not None and not comment.writes([present]):
        return None
    ours = f"<DESCRIPTION>{escape(_NOT_IN_XML.sub('', comment.text))}</DESCRIPTION>"
    if _DESCRIPTION.search(text):
        edited = _DESCRIPTION.sub(lambda match: match[1] + ours, text, count=1)
    elif _EMPTY_USER.search(text):
        edited = _EMPTY_USER.sub(lambda _: f"<USER>{ours}</USER>", text, count=1)
    elif _USER_END.search(text):
        edited = _USER_END.sub(lambda match: ours + match[0], text, count=1)
    else:
        edited = _ROOT_END.sub(lambda match: f"<USER>{ours}</USER>\n{match[0]}", text, count=1)
    if _description(edited) != _NOT_IN_XML.sub("", comment.text):
        raise ValueError("the iXML chunk has an unusual form: use sidecars")
    return edited.encode() + end


def _ascii(text: str) -> bytes:
    """Return text in ASCII: letters without their accents, a question mark for what has no such letter."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return plain.encode("ascii", "replace")


def _decoded(content: bytes) -> str:
    """Return the text of an iXML chunk.

    Raises:
        ValueError: It is not UTF-8, or has a document type, whose entities would be expanded.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the iXML chunk is not UTF-8: use sidecars") from None
    if "<!DOCTYPE" in text or re.search(r"<\?xml[^>]*encoding=.(?!utf-8|us-ascii)", text, re.IGNORECASE):
        raise ValueError("the iXML chunk has a document type or another encoding than UTF-8: use sidecars")
    return text


def _description(text: str) -> str | None:
    """Return `USER/DESCRIPTION`; None if there is none.

    Raises:
        ValueError: The text is not iXML.
    """
    try:
        root = ElementTree.fromstring(text.lstrip("\ufeff"))
    except ElementTree.ParseError as error:
        raise ValueError(f"the iXML chunk is damaged ({error}): use sidecars") from None
    if root.tag != "BWFXML":
        raise ValueError(f"the iXML chunk begins with {root.tag} instead of BWFXML: use sidecars")
    found = root.find("USER/DESCRIPTION")
    return None if found is None else found.text or ""
