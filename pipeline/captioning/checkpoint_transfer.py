"""Checkpoints as local directories: the driver fetches them from a bucket, workers of other machines unpack them."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline import storage


@contextlib.contextmanager
def local_checkpoint(checkpoint: str | None) -> Iterator[Path]:
    """Provide a checkpoint as a directory of this machine; a remote one is fetched and removed afterwards.

    Args:
        checkpoint: Directory or bucket prefix; None or `bundled` for the bundled checkpoint.

    Raises:
        CheckpointError: The prefix has no checkpoint, or it cannot be read.
    """
    from muscaps.checkpoint import CARD, WEIGHTS, WORDS, CheckpointError, checkpoint_path  # imports torch

    if checkpoint is None or not storage.is_remote(checkpoint):
        yield checkpoint_path(checkpoint or "bundled")
        return
    with tempfile.TemporaryDirectory(prefix="muscaps-checkpoint-") as directory:
        for name in (CARD, WORDS, WEIGHTS):
            try:
                data = storage.read_bytes(storage.join(checkpoint, name), max_bytes=2**32)
            except storage.StorageError as error:
                raise CheckpointError(f"not a checkpoint, or not readable: {error}") from error
            (Path(directory) / name).write_bytes(data)
        yield Path(directory)


@contextlib.contextmanager
def checkpoint_directory(checkpoint: str | Mapping[str, bytes]) -> Iterator[str]:
    """Provide a checkpoint, given as a directory or as its files by name, as a directory of this machine."""
    if isinstance(checkpoint, str):
        yield checkpoint
        return
    with tempfile.TemporaryDirectory(prefix="muscaps-checkpoint-") as directory:
        for name, data in checkpoint.items():
            (Path(directory) / Path(name).name).write_bytes(data)
        yield directory


def checkpoint_for_workers(directory: Path, address: str | None) -> str | dict[str, bytes]:
    """Return a checkpoint in the form that workers need for `checkpoint_directory`.

    Args:
        directory: Directory on this machine.
        address: Address of the cluster; None for Ray on this machine.

    Returns:
        The path of the directory; for a cluster, whose workers may be on other machines, its files by name.
    """
    if address is None:
        return str(directory.resolve())
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}
