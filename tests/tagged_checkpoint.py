"""The tiny captioner with tag heads, as a checkpoint."""

from pathlib import Path
from typing import Any

from muscaps.checkpoint import load_checkpoint, save_checkpoint
from muscaps.tagger import TagHeads


def write_tagged(plain: Path, directory: Path, tagger: TagHeads, **sections: Any) -> Path:
    """Write a captioner with tag heads and further sections of its card; returns the directory."""
    checkpoint = load_checkpoint(plain)
    save_checkpoint(
        directory,
        checkpoint.model,
        checkpoint.vocabulary,
        name="tagged",
        training={},
        metrics={},
        tagger=tagger,
        sections=sections,
    )
    return directory
