"""The training loop."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Reporter: TypeAlias = Callable[[Mapping[str, Any], Callable[[Path], None]], None]
"""Told the metrics after every epoch, with a function that writes everything needed to go on from there."""
