"""Batches that fit the device's memory, and chunks of many tracks batched together."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")


def in_batches(work: Callable[[Any], list[_Found]], items: Any, size: int) -> tuple[list[_Found], int]:
    """Work on `size` items at a time, on half of them from where the device's memory is too small.

    Returns:
        What was found, in order, and the size at the end.

    Raises:
        torch.OutOfMemoryError: The memory is too small for one.
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
        torch.cuda.empty_cache()  # not within `except`, where the error keeps alive what filled the memory
        size = (len(batch) + 1) // 2
        logger.warning("not enough memory for %d at once on the device: %d from now on", len(batch), size)
    return found, size


def chunk_batches(chunked: Sequence[npt.NDArray[Any]], size: int) -> Iterator[npt.NDArray[Any]]:
    """Cut the chunks of all tracks, in order, into batches of `size`, whatever track they belong to."""
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
