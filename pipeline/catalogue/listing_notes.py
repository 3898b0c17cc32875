"""What a listing of a folder leaves out: files that are not audio by their suffix, and what cannot be read."""

import logging
from dataclasses import dataclass, field

from pipeline.catalogue.audio_suffixes import suffix_of
from pipeline.storage import StorageError

logger = logging.getLogger(__name__)

MAX_LOGGED = 20
"""Unreadable paths and suffixes that are logged one by one."""
MAX_KEPT = 1_000
"""Unreadable paths that are kept with their reason; all are counted."""


@dataclass(kw_only=True)
class LeftOut:
    """Files of one suffix that are not audio."""

    files: int = 0
    """Number of files."""
    example: str = ""
    """The first of them, below the folder."""


@dataclass(kw_only=True)
class ListingNotes:
    """What is left out of a listing."""

    left_out: dict[str, LeftOut] = field(default_factory=dict)
    """By suffix, in lower case with its dot; files without a suffix by ""."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that may not be read and links that lead nowhere, each with its reason; the first `MAX_KEPT`."""
    num_unreadable: int = 0
    """Number of them."""
    undecodable: list[str] = field(default_factory=list)
    """Names that are not UTF-8, percent-encoded, the first `MAX_KEPT`; these tracks are captioned under that name."""
    num_undecodable: int = 0
    """Number of them."""

    def add_left_out(self, name: str) -> None:
        """Count a file that is not audio by its suffix."""
        note = self.left_out.setdefault(suffix_of(name), LeftOut(example=name))
        note.files += 1

    def add_unreadable(self, error: StorageError) -> None:
        """Note a folder or link that is left out because it cannot be read."""
        self.num_unreadable += 1
        if self.num_unreadable <= MAX_LOGGED:
            logger.warning("left out: %s", error)
        if self.num_unreadable <= MAX_KEPT:
            self.unreadable.append(str(error))

    def add_undecodable(self, uri: str) -> None:
        """Note a track whose name is not UTF-8."""
        self.num_undecodable += 1
        if self.num_undecodable <= MAX_LOGGED:
            logger.warning("the name is not UTF-8 and is percent-encoded: %s", uri)
        if self.num_undecodable <= MAX_KEPT:
            self.undecodable.append(uri)

    def log(self, source: str) -> None:
        """Log the totals."""
        if self.num_unreadable:
            logger.warning("%s: %d folders or links could not be read and are left out", source, self.num_unreadable)
        if self.num_undecodable:
            logger.warning("%s: %d names are not UTF-8 and are percent-encoded", source, self.num_undecodable)
        if self.left_out:
            most_first = sorted(self.left_out.items(), key=lambda item: -item[1].files)
            listed = [f"{note.files} {suffix or 'without suffix'} ({note.example})" for suffix, note in most_first]
            more = f", and {len(listed) - MAX_LOGGED} more suffixes" if len(listed) > MAX_LOGGED else ""
            num_files = sum(note.files for note in self.left_out.values())
            logger.info(
                "%s: %d files are not audio by their suffix and left out: %s%s",
                source,
                num_files,
                ", ".join(listed[:MAX_LOGGED]),
                more,
            )
