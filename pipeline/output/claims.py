"""The settings that a folder is filled with, recorded in it before the work begins.

The same command finds its own settings and continues. A command with other settings is refused, because its results
would mix with those of the first one.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import storage

SHOWN_DIFFERENCES = 3


def claim(folder: Path | str, name: str, what: str, settings: Mapping[str, Any]) -> None:
    """Record the settings that a folder is filled with, or check that they are the same.

    Args:
        folder: Local, or a bucket prefix.
        name: Of the file that records them.
        what: The kind of content, for the message: corpus, training...
        settings: All that the content depends on; values that are not JSON become their `str`.

    Raises:
        ValueError: The folder holds the same kind of content with other settings; the message names them.
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
