"""A checkpoint on its way: from a bucket to the driver, from the driver to workers of other machines."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import storage


@contextlib.contextmanager
def local_checkpoint(checkpoint: str | None) -> Iterator[Path]:
    """Give a checkpoint as a directory of this machine; a remote one is fetched first.

    Args:
        checkpoint: Directory or bucket prefix; None for the bundled one.

    Raises:
        StorageError: It cannot be fetched.
    """
    from muscaps.checkpoint import BUNDLED, CARD, WEIGHTS, WORDS, CheckpointError

    if checkpoint is None or not storage.is_remote(checkpoint):
        yield Path(checkpoint) if checkpoint is not None else BUNDLED
        return
    with tempfile.TemporaryDirectory(prefix="muscaps-checkpoint-") as directory:
        for name in (CARD, WORDS, WEIGHTS):
            try:
                data = storage.read_bytes(storage.join(checkpoint, name), max_bytes=2**32)
            except storage.StorageError as error:
                raise CheckpointError(f"not a checkpoint, or not readable: {error}") from error
            (Path(directory) / name).write_bytes(data)
        yield Path(directory)


def checkpoint_directory(checkpoint: str | Mapping[str, bytes]) -> Any:
    """A context in which the checkpoint is a directory of this machine."""
    if isinstance(checkpoint, str):
        return contextlib.nullcontext(checkpoint)

    @contextlib.contextmanager
    def unpacked() -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="muscaps-checkpoint-") as directory:
            for name, data in checkpoint.items():
                (Path(directory) / Path(name).name).write_bytes(data)
            yield directory

    return unpacked()
