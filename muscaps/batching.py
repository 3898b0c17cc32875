"""Batches that fit into the memory of the device, and batches of chunks across tracks."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")


def in_batches(work: Callable[[Any], list[_Found]], items: Any, size: int) -> tuple[list[_Found], int]:
    """Process `size` items at a time; halve the size when a batch does not fit into memory.

    Returns:
        The results in order, and the batch size at the end.

    Raises:
        torch.OutOfMemoryError: The memory is too small for one item.
    """
    found: list[_Found] = []
    done = 0
    while done < len(items):
        batch = items[done : done + size]
        try:
            found += work(batch)
            done += len(batch)
            continue
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        torch.cuda.empty_cache()  # not within `except`, because the error keeps the tensors alive
        size = (len(batch) + 1) // 2
        logger.warning("not enough device memory for a batch of %d; using %d from now on", len(batch), size)
    return found, size


def chunk_batches(chunked: Sequence[npt.NDArray[Any]], size: int) -> Iterator[npt.NDArray[Any]]:
    """Divide the chunks of all tracks, in order, into batches of `size`; a batch may have chunks of several tracks."""
    waiting: list[npt.NDArray[Any]] = []
    count = 0
    for chunks in chunked:
        while len(chunks):
            taken, chunks = chunks[: size - count], chunks[size - count :]
            waiting.append(taken)
            count += len(taken)
            if count == size:
                yield np.concatenate(waiting)
                waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)
