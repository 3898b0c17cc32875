"""The first stage: fetch a track and decode it to PCM.

Conventions: nothing here knows Ray. A batch is a `pyarrow.Table` with one row a track: the catalogue's columns,
`attempt` (how often this track has been tried, this time included) and what the stages so far have added.
A track that fails keeps its row, says where and why, and travels on untouched. PCM is mono int16,
little-endian, as binary; features are float16, row-major, as binary.
"""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline import storage
from pipeline.captioning.memory import peak_bytes
from pipeline.captioning.rows import binary_array, error_type_of, extend_rows, failure_values
from pipeline.output.schema import DECODED

if TYPE_CHECKING:
    from muscaps.audio import DecodedAudio

logger = logging.getLogger(__name__)

MAX_CHUNKS = 600
"""Chunks of a track that are heard unless told otherwise: 30 minutes of 3 s chunks, 58 MB of PCM."""
FETCH_AHEAD = 3
"""Files on their way while one is decoded."""
MAX_FETCHED_BYTES = 128 * 2**20
"""A remote file up to this size is fetched whole; a larger one is decoded while it is read."""


def fetch_and_decode(
    rows: pa.Table,
    *,
    base: str,
    sample_rate: int,
    chunk_samples: int,
    max_chunks: int = MAX_CHUNKS,
    only_needed: bool = False,
    allow_local: bool = False,
    stopped: Callable[[], bool] = bool,
) -> Iterator[pa.Table]:
    """Turn URIs into PCM, one table a track, fetching the next files while one is decoded.

    Args:
        rows: Catalogue rows, any number.
        base: What relative URIs count from.
        sample_rate: Hz the model hears.
        chunk_samples: Samples of a chunk at that rate.
        max_chunks: Evenly spaced chunks kept of a longer track.
        only_needed: Whether to decode those chunks alone where the format lets one seek.
        allow_local: Whether a remote catalogue may name files of this machine.
        stopped: Asked before each track; once true, the rest of the rows is dropped, to be done by another run.

    Yields:
        The row with `DECODED` added and its `uri` made absolute.
    """

    def fetch(uri: str) -> tuple[str, Path | bytes | None, float]:
        started = time.perf_counter()
        location = storage.resolve(uri, base, allow_local=allow_local)
        return location, _fetched(location), time.perf_counter() - started

    uris = rows["uri"].to_pylist()
    with ThreadPoolExecutor(FETCH_AHEAD) as pool:
        ahead: dict[int, Future[tuple[str, Path | bytes | None, float]]] = {}
        for index in range(rows.num_rows):
            if stopped():
                break
            for later in range(index, min(index + FETCH_AHEAD, rows.num_rows)):
                if later not in ahead:
                    ahead[later] = pool.submit(fetch, uris[later])
            yield _decoded_row(
                rows.slice(index, 1),
                ahead.pop(index).result,
                sample_rate=sample_rate,
                chunk_samples=chunk_samples,
                max_chunks=max_chunks,
                only_needed=only_needed,
            )
        for future in ahead.values():
            future.cancel()


def _fetched(location: str) -> Path | bytes | None:
    """A track's content, or its path, or None where it is too large to hold and better read in pieces.

    Raises:
        StorageError: It cannot be read.
    """
    if not storage.is_remote(location):
        path = Path(location)
        if path.exists() and not path.is_file():
            raise storage.StorageError(f"{location}: a folder or device, not a file", "bad_uri")
        with storage.open_for_reading(location):
            return path
    try:
        return storage.read_bytes(location, max_bytes=MAX_FETCHED_BYTES)
    except storage.StorageError as error:
        if error.error_type != "too_large":
            raise
        return None


def _decoded_row(row: pa.Table, fetched: Any, **how: Any) -> pa.Table:
    """Decode one fetched track and put what came of it into its row."""
    from muscaps.audio import AudioError, decode_audio

    values: dict[str, Any] = {}
    row = _with_uri(row, storage.public_uri(row["uri"][0].as_py()))
    try:
        location, content, values["fetch_seconds"] = fetched()
        row = _with_uri(row, storage.public_uri(location))
        started = time.perf_counter()
        if content is None:
            with storage.open_for_reading(location) as file:
                audio = decode_audio(file, **how)
        else:
            audio = decode_audio(content, **how)
        values["decode_seconds"] = time.perf_counter() - started
        values["decoded_at"] = time.time()
    except storage.StorageError as error:
        return extend_rows(row, DECODED, [failure_values("fetch", error.error_type, error, error.retryable)])
    except AudioError as error:
        return extend_rows(row, DECODED, [failure_values("decode", error.error_type, error, False)])
    except OSError as error:
        return extend_rows(row, DECODED, [failure_values("fetch", "unreadable", error, True)])
    except (MemoryError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        logger.warning("decoding %s failed unexpectedly", row["track_id"][0], exc_info=True)
        return extend_rows(row, DECODED, [failure_values("decode", error_type_of(error), error, False)])
    chunk_samples = how["chunk_samples"]
    heard = max(1, len(audio.pcm) // chunk_samples)
    values |= audio_values(audio, heard)
    table = extend_rows(row, DECODED, [values])
    return table.set_column(table.column_names.index("pcm"), "pcm", binary_array(audio.pcm.astype("<i2", copy=False)))


def audio_values(audio: "DecodedAudio", num_chunks: int) -> dict[str, Any]:
    return {
        "sample_rate": audio.sample_rate,
        "channels": audio.channels,
        "num_chunks": num_chunks,
        "coverage": audio.coverage,
        "decoded_duration_s": audio.duration_s,
        "damaged": audio.damaged,
        "decode_peak_bytes": peak_bytes(),
    }


def _with_uri(row: pa.Table, uri: str) -> pa.Table:
    if any("\udc80" <= letter <= "\udcff" for letter in uri):
        return row  # a file name that is not UTF-8 fits into no table; it stays percent-encoded
    return row.set_column(row.column_names.index("uri"), "uri", pa.array([uri], pa.string()))
