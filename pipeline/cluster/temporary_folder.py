"""A short path for the folder of a Ray that this process starts.

Ray puts Unix sockets below its folder, and the path of a socket has at most 107 bytes. Where `TMPDIR` or `RAY_TMPDIR`
is too long for that, a symbolic link in /tmp leads to the folder: its files stay where the user wants them.
"""

import os
import shutil
import tempfile
from pathlib import Path

MAX_SOCKET_BYTES = 107
"""Longest path of a Unix socket on Linux."""
SOCKET_SUFFIX_BYTES = len("/session_2026-11-25_12-00-00_000000_4194304/sockets/") + len("plasma_store") + 4
"""Bytes of a socket's path below Ray's folder, with a few to spare."""

_links: list[Path] = []
"""Folders in /tmp that hold a link, until Ray is stopped."""


def short_temporary_folder() -> str | None:
    """Return a path for Ray's folder that is short enough for sockets; None where Ray's own choice is."""
    wanted = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray").absolute()
    if len(os.fsencode(wanted)) + SOCKET_SUFFIX_BYTES <= MAX_SOCKET_BYTES:
        return None
    wanted.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix="muscaps-ray-", dir="/tmp"))
    _links.append(holder)
    link = holder / "r"
    link.symlink_to(wanted)
    return str(link)


def remove_short_folders() -> None:
    """Remove the links, after Ray has stopped."""
    while _links:
        shutil.rmtree(_links.pop(), ignore_errors=True)
