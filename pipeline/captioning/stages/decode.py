"""The first stage: fetch a track and decode it to PCM; see `rows` for what a batch holds."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
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

Fetched = Callable[[], tuple[str, Path | bytes | None, float]]
"""Returns a track's location, its content (see `_fetched`) and the seconds it took, or raises StorageError."""

MAX_CHUNKS = 600
"""Chunks processed per track where captions of its parts are wanted: 30 minutes of 3 s chunks, 58 MB of PCM."""
FETCH_AHEAD = 3
"""Files that are fetched while one is decoded."""
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
        sample_rate: The model's sample rate, in Hz.
        chunk_samples: Samples of a chunk at that rate.
        max_chunks: Most chunks kept per track; of a longer track, evenly spaced ones.
        only_needed: Decode those chunks alone where the format supports seeking.
        allow_local: Whether a remote catalogue may name files of this machine.
        stopped: Called before each track; once true, the other rows are dropped and left for another run.

    Yields:
        The row with `DECODED` added and its `uri` made absolute.
    """

    def fetch(uri: str) -> tuple[str, Path | bytes | None, float]:
        started = time.perf_counter()
        location = storage.resolve(uri, base, allow_local=allow_local)
        return location, _fetched(location), time.perf_counter() - started

    settings = {
        "sample_rate": sample_rate,
        "chunk_samples": chunk_samples,
        "max_chunks": max_chunks,
        "only_needed": only_needed,
    }
    uris = rows["uri"].to_pylist()
    with ThreadPoolExecutor(FETCH_AHEAD) as pool:
        ahead: dict[int, Future[tuple[str, Path | bytes | None, float]]] = {}
        for index in range(rows.num_rows):
            if stopped():
                break
            for later in range(index, min(index + FETCH_AHEAD, rows.num_rows)):
                if later not in ahead:
                    ahead[later] = pool.submit(fetch, uris[later])
            yield _decoded_row(rows.slice(index, 1), ahead.pop(index).result, settings)
        for future in ahead.values():
            future.cancel()


def _fetched(location: str) -> Path | bytes | None:
    """A track's content, or its local path, or None if it is too large to fetch whole.

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


def _decoded_row(row: pa.Table, fetched: Fetched, settings: Mapping[str, Any]) -> pa.Table:
    """Decode one fetched track and add the result, or the failure, to its row."""
    from muscaps.audio import AudioError  # imports torch's audio stack, in the workers only

    row = _with_uri(row, storage.public_uri(row["uri"][0].as_py()))
    try:
        location, content, fetch_seconds = fetched()
        row = _with_uri(row, storage.public_uri(location))
        audio, decode_seconds = _decoded(location, content, settings)
    except storage.StorageError as error:
        return _failed(row, "fetch", error.error_type, error, error.retryable)
    except AudioError as error:
        return _failed(row, "decode", error.error_type, error, False)
    except OSError as error:
        return _failed(row, "fetch", "unreadable", error, True)
    except (MemoryError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        logger.warning("decoding %s failed unexpectedly", row["track_id"][0], exc_info=True)
        return _failed(row, "decode", error_type_of(error), error, False)
    values = audio_values(audio, max(1, len(audio.pcm) // settings["chunk_samples"]))
    values |= {"fetch_seconds": fetch_seconds, "decode_seconds": decode_seconds, "decoded_at": time.time()}
    table = extend_rows(row, DECODED, [values])
    return table.set_column(table.column_names.index("pcm"), "pcm", binary_array(audio.pcm.astype("<i2", copy=False)))


def _decoded(location: str, content: Path | bytes | None, settings: Mapping[str, Any]) -> tuple["DecodedAudio", float]:
    """Decode a track's content, or the file it is read from; the audio and the seconds it took."""
    from muscaps.audio import decode_audio  # see above

    started = time.perf_counter()
    if content is None:
        with storage.open_for_reading(location) as file:
            audio = decode_audio(file, **settings)
    else:
        audio = decode_audio(content, **settings)
    return audio, time.perf_counter() - started


def _failed(row: pa.Table, stage: str, error_type: str, error: Exception, retryable: bool) -> pa.Table:
    return extend_rows(row, DECODED, [failure_values(stage, error_type, error, retryable)])


def audio_values(audio: "DecodedAudio", num_chunks: int) -> dict[str, Any]:
    """The columns of a decoded track, its PCM excluded."""
    return {
        "sample_rate": audio.sample_rate,
        "channels": audio.channels,
        "num_chunks": num_chunks,
        "coverage": audio.coverage,
        "decoded_duration_s": audio.duration_s,
        "share_kept": audio.share_kept,
        "damage": audio.damaged,
        "decode_peak_bytes": peak_bytes(),
    }


def _with_uri(row: pa.Table, uri: str) -> pa.Table:
    if any("\udc80" <= letter <= "\udcff" for letter in uri):
        return row  # a file name that is not UTF-8 cannot be a table's string; it stays percent-encoded
    return row.set_column(row.column_names.index("uri"), "uri", pa.array([uri], pa.string()))
