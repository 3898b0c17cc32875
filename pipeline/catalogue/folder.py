"""A folder or bucket prefix as a catalogue: every audio file below it is a track."""

import os
from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipeline import storage
from pipeline.catalogue.audio_suffixes import is_audio, suffixes_message
from pipeline.catalogue.listing_notes import ListingNotes
from pipeline.catalogue.reader import BATCH_ROWS, MAX_NAMED, numbered


class FolderReader:
    """Lists a folder or bucket prefix."""

    def __init__(self, source: str) -> None:
        """Prepare to list `source`."""
        self.source = source
        self.base = source if source.endswith("/") else source + "/"
        self.notes = ListingNotes()

    def tables(self) -> Iterator[pa.Table]:
        """Yield `track_id` (the path below the folder), `uri` and `etag` of the audio files."""
        self.notes = ListingNotes()
        found: list[storage.StoredFile] = []
        for file in storage.list_files(self.base, on_unreadable=self.notes.add_unreadable):
            if not is_audio(file.uri):
                self.notes.add_left_out(self._names([file])[0])
                continue
            if "://" in file.uri and "://" not in self.base:  # how the listing marks a name that is not UTF-8
                self.notes.add_undecodable(file.uri)
            found.append(file)
            if len(found) == BATCH_ROWS:
                yield self._table(found)
                found = []
        if found:
            yield self._table(found)
        self.notes.log(self.source)

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name files by their number in the listing."""
        return numbered("file", [row + 1 for row in rows[:MAX_NAMED]], and_more=len(rows) > MAX_NAMED)

    def no_tracks_message(self) -> str:
        """Explain a folder without audio."""
        return f"{self.source}: there is no audio below this folder; {suffixes_message()}"

    def _table(self, files: Sequence[storage.StoredFile]) -> pa.Table:
        uris = [file.uri if "://" in file.uri else os.path.abspath(file.uri) for file in files]
        return pa.table({"track_id": self._names(files), "uri": uris, "etag": [file.etag for file in files]})

    def _names(self, files: Sequence[storage.StoredFile]) -> list[str]:
        """Return the paths of files below the folder."""
        if storage.is_remote(self.base):
            return [file.uri[len(self.base) :] for file in files]
        root = os.path.abspath(self.base) + "/"
        return [file.uri.removeprefix(self.base).removeprefix(root) for file in files]
