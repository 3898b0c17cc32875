"""Local paths for files that are named after a track id; no two tracks get the same path."""

import hashlib
import itertools
import re
import unicodedata
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline import storage
from pipeline.output.newest import Table

LOG_NAME = "muscaps-tags.jsonl"
"""The log beside the files; no track gets its name."""


class SharedNames:
    """Names that several tracks would have, or that are a file of one track and a folder of another.

    Names that differ only in upper and lower case or in the composition of accents count as the same, as on some file
    systems. Memory is eight bytes a track.
    """

    def __init__(self, tracks: Iterable[tuple[str, str]]) -> None:
        """Read the id and the suffix of every track."""
        files, folders = array("Q"), set()
        for track_id, suffix in tracks:
            name = track_path(Path(), track_id, suffix).as_posix()
            files.append(_hash(name))
            parent = name.rpartition("/")[0]
            while parent and _hash(parent) not in folders:
                folders.add(_hash(parent))
                parent = parent.rpartition("/")[0]
        hashes, counts = np.unique(np.array(files, np.uint64), return_counts=True)
        own_folders = np.array(sorted(folders), np.uint64)
        self._hashes = {int(value) for value in (*hashes[counts > 1], *hashes[np.isin(hashes, own_folders)])}

    def __contains__(self, name: str) -> bool:
        """Return whether a path, relative to the folder, is such a name."""
        return bool(self._hashes) and _hash(name) in self._hashes


def shared_names(table: Table, suffix: str | None = None) -> SharedNames:
    """Find the shared names of all tracks of a table, with one suffix or with those of their audio."""
    tracks = (
        (track_id, audio_suffix(uri) if suffix is None else suffix)
        for batch in table.newest(["track_id", "uri"])
        for track_id, uri in zip(batch["track_id"].to_pylist(), batch["uri"].to_pylist(), strict=True)
    )
    return SharedNames(itertools.chain([(LOG_NAME, "")], tracks))


def audio_suffix(uri: str) -> str:
    """Return the suffix of an audio file's name, or nothing where it is no usual one."""
    name = storage.redacted(uri) if storage.is_remote(uri) else storage.absolute(uri)
    suffix = Path(name).suffix
    return suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", suffix) else ""


def track_path(folder: Path, track_id: str, suffix: str, shared: SharedNames | None = None) -> Path:
    """Return a path inside the folder for any track id, also one with `..` or NUL.

    Args:
        folder: Where the file is.
        track_id: The track.
        suffix: End of the name; it is added where the id does not end in it.
        shared: Names that several tracks would have.

    Returns:
        The path. An id that had to be changed, or whose name is shared, gets eight hex digits of its SHA-256.
    """
    parts = [re.sub(r'[\x00-\x1f\x7f<>:"\\|?*]', "_", part).strip(" ") for part in track_id.split("/")]
    parts = [part.encode("utf-8", "replace")[:200].decode("utf-8", "ignore") for part in parts]
    parts = [part for part in parts if part not in ("", ".", "..")]
    *parents, last = parts or ["track"]
    name = last if last.lower().endswith(suffix.lower()) else last + suffix
    if "/".join(parts) != track_id or (shared is not None and "/".join([*parents, name]) in shared):
        last += "-" + hashlib.sha256(track_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = last if suffix and last.lower().endswith(suffix.lower()) else last + suffix
    return folder.joinpath(*parents, name)


def _hash(name: str) -> int:
    comparable = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return int.from_bytes(hashlib.blake2b(comparable.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
