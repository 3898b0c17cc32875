"""Whose folder this is: what a command fills a folder with, written beside it before the work begins.

The same command finds its own words there and goes on; one with other settings is refused, for its results would mix
with the first one's.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import storage

SHOWN_DIFFERENCES = 3


def claim(folder: Path | str, name: str, what: str, settings: Mapping[str, Any]) -> None:
    """Write down what a folder is filled with, or check that it is the same.

    Args:
        folder: Local, or a bucket prefix.
        name: Of the file that says so.
        what: A word for the content: corpus, training...
        settings: All that the content depends on; what is not JSON becomes its `str`.

    Raises:
        ValueError: The folder holds the same kind of content with other settings; names them.
        StorageError: It cannot be reached.
    """
    uri = storage.join(str(folder), name)
    text = json.dumps(settings, indent=2, default=str) + "\n"
    if not storage.exists(uri):
        storage.write_once(uri, text.encode())
        return
    differences = list(_differences(json.loads(storage.read_bytes(uri)), json.loads(text)))
    if differences:
        shown = "; ".join(differences[:SHOWN_DIFFERENCES]) + ("; ..." if len(differences) > SHOWN_DIFFERENCES else "")
        raise ValueError(f"{folder} holds another {what} ({shown}); name another folder")


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif before != now:
        yield f"{path} was {before}, is {now}"
