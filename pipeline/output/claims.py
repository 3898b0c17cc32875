"""The settings of the command that fills a folder, recorded there before the work begins.

The same command finds the same settings and continues. A command with other settings is rejected, because its results
would be mixed with those of the first.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import storage

SHOWN_DIFFERENCES = 3


def claim(folder: Path | str, name: str, what: str, settings: Mapping[str, Any]) -> None:
    """Record the settings of a folder, or check that the recorded ones are the same.

    Args:
        folder: Local folder or bucket prefix.
        name: Name of the file that records the settings.
        what: Kind of content, for the message, e.g. corpus or training.
        settings: All settings on which the content depends; values that are not JSON are recorded as `str`.

    Raises:
        ValueError: The folder has content with other settings; the message names them.
        StorageError: The folder cannot be read or written.
    """
    uri = storage.join(str(folder), name)
    text = json.dumps(settings, indent=2, default=str) + "\n"
    if not storage.exists(uri):
        storage.write_once(uri, text.encode())
        return
    differences = list(_differences(json.loads(storage.read_bytes(uri)), json.loads(text)))
    if differences:
        shown = "; ".join(differences[:SHOWN_DIFFERENCES]) + ("; ..." if len(differences) > SHOWN_DIFFERENCES else "")
        raise ValueError(f"{folder} has another {what} ({shown}); choose another folder")


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif before != now:
        yield f"{path} was {before}, is {now}"
