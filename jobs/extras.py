"""Optional dependencies: a command that needs some says which before it starts."""

from importlib.metadata import PackageNotFoundError, distribution, requires
from typing import Literal

Extra = Literal["corpus", "evaluate", "evaluate-neural", "tags"]


def require_extra(extra: Extra, command: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        extra: One of the extras of pyproject.toml.
        command: The command that needs it, for the message.

    Raises:
        ValueError: A package is missing; the message has the command that installs it.
    """
    missing = [wanted for wanted in _requirements(extra) if not _is_installed(wanted)]
    if missing:
        packages = " ".join(f"'{wanted}'" for wanted in missing)
        raise ValueError(f"{command} needs packages that are not installed (extra {extra!r}): pip install {packages}")


def _requirements(extra: Extra) -> list[str]:
    """Return the requirements of an extra, such as `symusic==0.5.8`."""
    try:
        lines = requires("muscaps") or []
    except PackageNotFoundError:  # the source folder alone, not installed
        return []
    parts = [line.partition(";") for line in lines]
    return [wanted.strip() for wanted, _, marker in parts if f"extra == '{extra}'" in marker.replace('"', "'")]


def _is_installed(requirement: str) -> bool:
    name = requirement
    for separator in "<>=!~ [":
        name = name.partition(separator)[0]
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
