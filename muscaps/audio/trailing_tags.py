"""Tags after the audio: ID3v1, APEv2, Lyrics3 and appended ID3v2.4.

Players write these tags behind the last frame of MP3, AAC, FLAC, Monkey's Audio and WavPack files. They may hold
pictures of several megabytes. A decoder that searches them for frames finds bytes that are none and reports damage.
"""

from muscaps.audio.source_file import SourceFile

_MAX_TAGS = 16  # more tags than any file has; a limit for hostile files
_ID3V1_BYTES, _ENHANCED_ID3V1_BYTES = 128, 227
_APE_BLOCK_BYTES = 32  # header or footer of an APE tag
_ID3V2_BLOCK_BYTES = 10  # header or footer of an ID3v2 tag
_LYRICS3V1_BYTES = 65_536  # the format allows 5,100; some writers exceed it


def end_of_audio(file: SourceFile, head: bytes, size: int) -> int:
    """Return the position where the tags after the audio begin, or `size` if there are none.

    Containers that state their own length (RIFF, AIFF, CAF, MP4) need no search.

    Args:
        file: The open file.
        head: Its first bytes.
        size: Its size in bytes.
    """
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"FORM", b"caff") or head[4:8] == b"ftyp":
        return size
    end = size
    for _ in range(_MAX_TAGS):
        start = _start_of_last_tag(file, end)
        if start is None or start <= 0:
            break
        end = start
    return end


def _start_of_last_tag(file: SourceFile, end: int) -> int | None:
    """Return where the tag that ends at `end` begins; None if no tag ends there."""
    tail = file.range(end - _ID3V1_BYTES, end)
    if tail[:3] == b"TAG" and len(tail) == _ID3V1_BYTES:
        start = end - _ID3V1_BYTES
        enhanced = start - _ENHANCED_ID3V1_BYTES
        return enhanced if file.range(enhanced, enhanced + 4) == b"TAG+" else start
    if tail[-32:-24] == b"APETAGEX":
        return _ape_start(file, tail[-32:], end)
    if tail.endswith(b"LYRICS200") and tail[-15:-9].isdigit():
        start = end - 15 - int(tail[-15:-9])
        return start if file.range(start, start + 11) == b"LYRICSBEGIN" else None
    if tail.endswith(b"LYRICSEND"):
        last = file.range(end - _LYRICS3V1_BYTES, end)
        found = last.rfind(b"LYRICSBEGIN")
        return None if found < 0 else end - len(last) + found
    if tail[-10:-7] == b"3DI":
        length = int.from_bytes(tail[-4:], "big")
        content = sum((length >> 8 * part & 0x7F) << 7 * part for part in range(4))  # seven bits of every byte count
        start = end - content - 2 * _ID3V2_BLOCK_BYTES
        return start if file.range(start, start + 3) == b"ID3" else None
    return None


def _ape_start(file: SourceFile, footer: bytes, end: int) -> int | None:
    start = end - int.from_bytes(footer[12:16], "little")  # the footer counts, the header does not
    if start > end - _APE_BLOCK_BYTES:
        return None
    header = file.range(start - _APE_BLOCK_BYTES, start)
    # The block may also be the footer of another tag; bit 29 of the flags says which of the two it is.
    is_header = header[:8] == b"APETAGEX" and bool(header[23] & 0x20)
    return start - _APE_BLOCK_BYTES if is_header else start
