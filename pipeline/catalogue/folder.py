"""A folder or bucket prefix as a catalogue: every audio file below it is a track."""

import logging
import os
from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipeline import storage
from pipeline.catalogue.audio_suffixes import is_audio, suffixes_message
from pipeline.catalogue.reader import BATCH_ROWS, MAX_NAMED, numbered

logger = logging.getLogger(__name__)


class FolderReader:
    """Lists a folder or bucket prefix."""

    def __init__(self, source: str) -> None:
        """Prepare to list `source`."""
        self.source = source
        self.base = source if source.endswith("/") else source + "/"

    def tables(self) -> Iterator[pa.Table]:
        """Yield `track_id` (the path below the folder), `uri` and `etag` of the audio files."""
        num_others = 0
        found: list[storage.StoredFile] = []
        for file in storage.list_files(self.base):
            if not is_audio(file.uri):
                num_others += 1
                continue
            found.append(file)
            if len(found) == BATCH_ROWS:
                yield self._table(found)
                found = []
        if found:
            yield self._table(found)
        if num_others:
            logger.info("%s: %d files are not audio by their suffix and left out", self.base, num_others)

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name files by their number in the listing."""
        return numbered("file", [row + 1 for row in rows[:MAX_NAMED]], and_more=len(rows) > MAX_NAMED)

    def no_tracks_message(self) -> str:
        """Explain a folder without audio."""
        return f"{self.source}: there is no audio below this folder; {suffixes_message()}"

    def _table(self, files: Sequence[storage.StoredFile]) -> pa.Table:
        uris = [file.uri for file in files]
        if storage.is_remote(self.base):
            names = [uri[len(self.base) :] for uri in uris]
        else:
            root = os.path.abspath(self.base) + "/"
            names = [uri.removeprefix(self.base).removeprefix(root) for uri in uris]
            uris = [uri if "://" in uri else os.path.abspath(uri) for uri in uris]
        return pa.table({"track_id": names, "uri": uris, "etag": [file.etag for file in files]})
