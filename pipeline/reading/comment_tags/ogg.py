"""Ogg files: the packet of comments of the first audio stream is replaced, and its pages are numbered again."""

from pathlib import Path
from typing import Any

from pipeline.reading.comment_tags.comment import Comment
from pipeline.reading.comment_tags.vorbis_comments import edited_comments

_STREAMS = {
    b"\x01vorbis": b"\x03vorbis",
    b"OpusHead": b"OpusTags",
    b"\x80theora": b"\x81theora",
    b"\x7fFLAC": b"",
    b"Speex   ": b"",
}
"""How the first packet of a stream starts, and its packet of comments."""


def edit_ogg(path: Path, comment: Comment) -> None:
    """Edit the comments of an Ogg file in place.

    Raises:
        ValueError: No stream with comments, or a damaged one.
        mutagen.MutagenError: A page cannot be read.
    """
    from mutagen import ogg  # optional dependency

    page_type: Any = ogg.OggPage  # without annotations

    with path.open("r+b") as file:
        first, prefix = _first_page(file, page_type)
        pages: list[Any] = []
        while not pages or not (pages[-1].complete or len(pages[-1].packets) > 1):
            page = page_type(file)
            if page.serial == first.serial:
                pages.append(page)
        packets = page_type.to_packets(pages, strict=False)
        edited = _edited_packet(packets[0], first.packets[0], prefix, comment)
        if edited == packets[0]:
            return
        packets[0] = edited
        page_type.replace(file, pages, page_type.from_packets(packets, pages[0].sequence))


def _first_page(file: Any, page_type: Any) -> tuple[Any, bytes]:
    """Return the first page of a known stream, and how its comments start."""
    while True:
        page = page_type(file)
        for start, prefix in _STREAMS.items():
            if page.first and page.packets and page.packets[0].startswith(start):
                return page, prefix
        if not page.first:
            raise ValueError("no stream of the Ogg file has comments: use sidecars")


def _edited_packet(packet: bytes, head: bytes, prefix: bytes, comment: Comment) -> bytes:
    if not packet.startswith(prefix):
        raise ValueError("the second packet of the stream holds no comments")
    if not head.startswith(b"\x7fFLAC"):
        return prefix + edited_comments(packet[len(prefix) :], comment)
    if packet[0] & 0x7F != 4:
        raise ValueError("the second packet of the stream holds no comments")
    data = edited_comments(packet[4:], comment)
    return packet[:1] + len(data).to_bytes(3, "big") + data
