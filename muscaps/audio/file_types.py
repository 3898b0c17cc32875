"""What a file is, by its first bytes."""

HEAD_BYTES = 65_536  # enough of the beginning of a file to recognise its type

PCM_CONTAINERS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"caff", b".snd")

_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"(\xb5/\xfd", "a zstd archive"),
    (b"7z\xbc\xaf'\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"{\\rtf", "an RTF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"8BPS", "a Photoshop image"),
    (b"MThd", "a MIDI file (notes, no sound)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"SQLite format 3", "a database"),
    (b"PAR1", "a Parquet table"),
    (b"\x93NUMPY", "a NumPy array"),
)
_TEXT_SIGNATURES = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<head", "a web page"),
    (b"<body", "a web page"),
    (b"<script", "a web page"),
    (b"<svg", "an SVG image"),
    (b"<?xml", "an XML document"),
    (b"<error", "an XML error message"),
    (b"{", "JSON text"),
    (b"[", "JSON or other text"),
    (b"#extm3u", "a playlist"),
    (b"version https://git-lfs", "a Git LFS pointer (the audio itself was not fetched)"),
)


def name_of_non_audio(head: bytes) -> str | None:
    """Return a name for content that is certainly not audio, for the message; else None."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "a BMP image"
    if not head.strip(b"\x00"):
        return None if len(head) == HEAD_BYTES else "a file of zero bytes"
    return _name_of_text(head)


def _name_of_text(head: bytes) -> str | None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16
        head = head[2:].replace(b"\x00", b"")
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    text = head.lower()
    if any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head[:4096]):
        return None
    if not text:
        return "a file of blanks"
    if text.startswith(b"<?xml") and (code := head.partition(b"<Code>")[2].partition(b"</Code>")[0]):
        return f"an error message from the storage ({code[:60].decode(errors='replace')})"
    for signature, name in _TEXT_SIGNATURES:
        if text.startswith(signature):
            return name
    return "text"


def looks_like_audio(head: bytes) -> bool:
    """Return whether a file begins like a format in which music is delivered."""
    return (
        head[:4] in (*PCM_CONTAINERS, b"FORM", b"fLaC", b"OggS", b"\x1aE\xdf\xa3")
        or head[:3] == b"ID3"
        or head[4:8] == b"ftyp"
        or head[:4] == b"0&\xb2u"  # ASF: wma
        or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)  # MPEG frame sync
    )
