"""The `file_name` of audiofolder metadata: where the audio, or its tagged copy, is below the metadata file."""

from pathlib import Path

from pipeline import storage
from pipeline.output.newest import OutputError, Table
from pipeline.reading.track_paths import SharedNames, audio_suffix, shared_names, track_path


class AudioPaths:
    """Finds the audio of tracks below the folder of a metadata file."""

    def __init__(self, table: Table, file: str) -> None:
        """Prepare paths relative to the folder of `file`, for the tracks of a table."""
        self._table, self._is_remote = table, storage.is_remote(file)
        self._folder = storage.absolute(file).rpartition("/")[0] + "/"
        self._shared: SharedNames | None = None

    def relative(self, uri: str, track_id: str) -> str:
        """Return the path of a track's audio, or of its tagged copy, relative to the folder.

        Raises:
            OutputError: Neither is in the folder, or the name of the audio is not UTF-8.
        """
        path = storage.absolute(uri)
        is_text = path.isascii() or path.encode("utf-8", "replace").decode() == path
        if path.startswith(self._folder) and is_text:
            return path[len(self._folder) :]
        copy = None if self._is_remote else self._copy(uri, track_id)
        if copy is None or not copy.exists():
            reason = f"is not in {self._folder}" if is_text else "has a name that is not UTF-8"
            raise OutputError(
                f"{uri} {reason}: write audiofolder metadata to the folder of the audio, "
                f"or copy the audio there first: muscaps export OUTPUT {self._folder} --tags copies"
            )
        return str(copy)[len(self._folder) :]

    def _copy(self, uri: str, track_id: str) -> Path:
        if self._shared is None:
            self._shared = shared_names(self._table)
        return track_path(Path(self._folder), track_id, audio_suffix(uri), self._shared)
