"""The software that a run or a benchmark used."""

import contextlib
import importlib.metadata
import platform

from muscaps import __version__


def installed_versions() -> dict[str, str]:
    """Versions of Python, muscaps and what it builds on, and the platform."""
    found = {"python": platform.python_version(), "muscaps": __version__, "platform": platform.platform()}
    for name in ("torch", "ray", "pyarrow", "numpy", "soundfile", "av"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
