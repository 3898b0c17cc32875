"""Local paths for files that are named after a track id."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import storage


def copy_path(folder: Path, track_id: str, uri: str) -> Path:
    """Return the path of a track's tagged copy."""
    return track_path(folder, track_id, Path(urlsplit(uri).path if storage.is_remote(uri) else uri).suffix)


def track_path(folder: Path, track_id: str, suffix: str) -> Path:
    """Return a path inside the folder for any track id, also one with `..` or NUL.

    An id that had to be changed gets eight hex digits of its SHA-256, so that two ids never share a file.
    """
    parts = [re.sub(r'[\x00-\x1f\x7f<>:"\\|?*]', "_", part).strip(" ") for part in track_id.split("/")]
    parts = [part.encode("utf-8", "replace")[:200].decode("utf-8", "ignore") for part in parts]
    parts = [part for part in parts if part not in ("", ".", "..")]
    *parents, last = parts or ["track"]
    if "/".join(parts) != track_id:
        last += "-" + hashlib.sha256(track_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    if not last.lower().endswith(suffix.lower()):
        last += suffix
    return folder.joinpath(*parents, last)
