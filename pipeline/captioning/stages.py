"""The stages of captioning as plain callables over Arrow batches: fetch and decode, then caption.

Conventions: nothing here knows Ray. A batch is a `pyarrow.Table` with one row a track: the catalogue's columns,
`attempt` (how often this track has been tried, this time included) and what the stages so far have added.
A track that fails keeps its row, says where and why, and travels on untouched. PCM is mono int16,
little-endian, as binary; features are float16, row-major, as binary.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from muscaps.config import DecodingOptions, Precision
from pipeline import storage
from pipeline.captioning.memory import peak_bytes
from pipeline.output.schema import CATALOGUE_SCHEMA, DECODED, RESULT

if TYPE_CHECKING:
    from muscaps.audio import DecodedAudio
    from muscaps.caption import Caption
    from muscaps.captioner import Captioner

logger = logging.getLogger(__name__)

MAX_CHUNKS = 600
"""Chunks of a track that are heard unless told otherwise: 30 minutes of 3 s chunks, 58 MB of PCM."""
FETCH_AHEAD = 3
"""Files on their way while one is decoded."""
MAX_FETCHED_BYTES = 128 * 2**20
"""A remote file up to this size is fetched whole; a larger one is decoded while it is read."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a track has no caption, in the words of `failures/`."""

    stage: str
    """fetch, decode or caption."""
    error_type: str
    """A word a program can count by."""
    message: str
    """What a catalogue editor needs to know."""
    retryable: bool
    """Whether the same may succeed later without anyone changing anything."""


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
        return _extended(row, DECODED, [_failure("fetch", error.error_type, error, error.retryable)])
    except AudioError as error:
        return _extended(row, DECODED, [_failure("decode", error.error_type, error, False)])
    except OSError as error:
        return _extended(row, DECODED, [_failure("fetch", "unreadable", error, True)])
    except (MemoryError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        logger.warning("decoding %s failed unexpectedly", row["track_id"][0], exc_info=True)
        return _extended(row, DECODED, [_failure("decode", _snake(error), error, False)])
    chunk_samples = how["chunk_samples"]
    heard = max(1, len(audio.pcm) // chunk_samples)
    values |= _heard(audio, heard)
    table = _extended(row, DECODED, [values])
    return table.set_column(table.column_names.index("pcm"), "pcm", _binary(audio.pcm.astype("<i2", copy=False)))


def _heard(audio: "DecodedAudio", num_chunks: int) -> dict[str, Any]:
    return {
        "sample_rate": audio.sample_rate,
        "channels": audio.channels,
        "num_chunks": num_chunks,
        "coverage": audio.coverage,
        "heard_duration_s": audio.duration_s,
        "damaged": audio.damaged,
        "decode_peak_bytes": peak_bytes(),
    }


def _with_uri(row: pa.Table, uri: str) -> pa.Table:
    if any("\udc80" <= letter <= "\udcff" for letter in uri):
        return row  # a file name that is not UTF-8 fits into no table; it stays percent-encoded
    return row.set_column(row.column_names.index("uri"), "uri", pa.array([uri], pa.string()))


class CaptionTracks:
    """Captions batches of decoded tracks with a checkpoint that is loaded once."""

    def __init__(
        self,
        checkpoint: str | Mapping[str, bytes],
        options: DecodingOptions,
        *,
        use_gpu: bool = False,
        threads: int = 1,
        precision: Precision = "float32",
        save_features: bool = False,
        load: "Callable[[str, str, Precision], Captioner] | None" = None,
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: Its directory, or its files by name where that directory is not on this machine.
            options: How captions are searched for.
            use_gpu: Whether a GPU was set aside for this; without CUDA the work is done on the CPU.
            threads: CPU threads; one each, and as many callers as cores, measured fastest.
            precision: What the audio network multiplies in.
            save_features: Whether to hand on the chunk features.
            load: Makes a captioner of a directory, a device and a precision; `Captioner.load` but in tests.
        """
        import torch

        from muscaps.captioner import Captioner

        torch.set_num_threads(threads)
        device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        self._options, self._save_features = options, save_features
        with _directory_of(checkpoint) as directory:
            self._captioner = (load or Captioner.load)(directory, device, precision)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Caption the tracks that have PCM; a track that cannot be captioned fails alone.

        Args:
            batch: Rows from `fetch_and_decode`.

        Returns:
            The same rows in the same order without `pcm`, with `RESULT` filled in.
        """
        pcm = batch["pcm"]
        waveforms = {
            index: np.frombuffer(pcm[index].as_buffer(), dtype="<i2")
            for index in range(batch.num_rows)
            if pcm[index].is_valid
        }
        values = self._captioned(waveforms)
        rows = [values.get(index, {}) for index in range(batch.num_rows)]
        for row, coverage in zip(rows, batch["coverage"].to_pylist(), strict=True):
            _place_segments(row, coverage)
        return _extended(batch.drop_columns(["pcm"]), RESULT, rows)

    def _captioned(self, waveforms: Mapping[int, np.ndarray]) -> dict[int, dict[str, Any]]:
        """Caption a batch, or, where that fails, one track after the other."""
        if not waveforms:
            return {}
        try:
            return dict(zip(waveforms, self._caption_all(list(waveforms.values())), strict=True))
        except Exception as error:
            if _is_fatal(error):
                raise
            if len(waveforms) == 1:
                [index] = waveforms
                return {index: _failure("caption", _snake(error), error, isinstance(error, MemoryError))}
            logger.warning("a batch of %d tracks failed, going on one by one", len(waveforms), exc_info=True)
        return {
            index: found
            for index, waveform in waveforms.items()
            for found in self._captioned({index: waveform}).values()
        }

    def _caption_all(self, waveforms: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Features, then captions, of several tracks; the time is shared out by chunks."""
        started = time.perf_counter()
        features = self._captioner.features(waveforms)
        between = time.perf_counter()
        captions = self._captioner.caption_features(features, self._options)
        ended = time.perf_counter()
        chunks, peak = sum(len(track) for track in features), peak_bytes()
        return [
            {
                **_caption_values(caption),
                "created_at": datetime.now(UTC),
                "num_chunks": len(track),
                "features": track.astype("<f2").tobytes() if self._save_features else None,
                "feature_dim": track.shape[1] if self._save_features else None,
                "feature_seconds": (between - started) * len(track) / chunks,
                "search_seconds": (ended - between) / len(features),
                "caption_peak_bytes": peak,
            }
            for caption, track in zip(captions, features, strict=True)
        ]


def _caption_values(caption: "Caption") -> dict[str, Any]:
    return {
        "caption": caption.text,
        "log_prob": float(caption.log_prob),
        "alternatives": [{"caption": other.text, "log_prob": float(other.log_prob)} for other in caption.alternatives]
        or None,
        "segments": [
            {
                "start_s": segment.start_s,
                "end_s": segment.end_s,
                "caption": segment.text,
                "log_prob": float(segment.log_prob),
            }
            for segment in caption.segments
        ]
        or None,
        "attention": None if caption.attention is None else caption.attention.tolist(),
    }


def _place_segments(values: dict[str, Any], coverage: float | None) -> None:
    """Spread segment times over the whole track where only evenly spaced chunks of it were heard."""
    if values.get("segments") and coverage is not None and 0 < coverage < 1:
        for segment in values["segments"]:
            segment["start_s"] = round(segment["start_s"] / coverage, 3)
            segment["end_s"] = round(segment["end_s"] / coverage, 3)


def is_captioned(rows: pa.Table) -> pa.ChunkedArray:
    """Tell which result rows hold a caption rather than a failure, (rows,) bool."""
    return rows["caption"].is_valid()


def failure_rows(rows: pa.Table, failure: Failure) -> pa.Table:
    """Turn catalogue rows into result rows that all failed in the same way."""
    values = _failure(failure.stage, failure.error_type, failure.message, failure.retryable)
    return _extended(rows, RESULT, [values] * rows.num_rows)


def result_schema(catalogue: pa.Schema) -> pa.Schema:
    """The schema at the end of the pipeline of rows that began with these columns."""
    return pa.schema([*catalogue, *RESULT])


def input_rows(rows: pa.Table, attempts: pa.Array) -> pa.Table:
    """Prepare catalogue rows for the first stage: how often each has been tried comes with them."""
    own = [name for name in rows.column_names if name in CATALOGUE_SCHEMA.names]
    others = [name for name in rows.column_names if name not in CATALOGUE_SCHEMA.names]
    return rows.select([*own, *others]).append_column("attempt", attempts.cast(pa.int32()))


def _failure(stage: str, error_type: str, error: Exception | str, retryable: bool) -> dict[str, Any]:
    message = " ".join(str(error).split()) or type(error).__name__
    return {
        "stage": stage,
        "error_type": error_type,
        "message": message[:1000],
        "retryable": retryable,
    }


def _extended(rows: pa.Table, schema: pa.Schema, values: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows with the schema's columns: from `values` where given, else what the rows had, else null."""
    for column in schema:
        given = [value.get(column.name) for value in values]
        present = column.name in rows.column_names
        if present and all(value is None for value in given):
            continue
        if present:
            before = rows[column.name].to_pylist()
            given = [old if new is None else new for old, new in zip(before, given, strict=True)]
        array = pa.array(given, column.type)
        if present:
            rows = rows.set_column(rows.column_names.index(column.name), column.with_nullable(True), array)
        else:
            rows = rows.append_column(column.with_nullable(True), array)
    return rows.select([name for name in rows.column_names if name not in schema.names] + schema.names)


def _binary(samples: np.ndarray) -> pa.Array:
    """One binary value over a NumPy array's own memory."""
    data = pa.py_buffer(np.ascontiguousarray(samples))
    offsets = pa.py_buffer(np.array([0, data.size], dtype=np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def _directory_of(checkpoint: str | Mapping[str, bytes]) -> Any:
    """A context in which the checkpoint is a directory of this machine."""
    import contextlib

    if isinstance(checkpoint, str):
        return contextlib.nullcontext(checkpoint)

    @contextlib.contextmanager
    def unpacked() -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="muscaps-checkpoint-") as directory:
            for name, data in checkpoint.items():
                (Path(directory) / Path(name).name).write_bytes(data)
            yield directory

    return unpacked()


def _is_fatal(error: Exception) -> bool:
    """Whether this process can do nothing more: a GPU in a state that only a restart clears."""
    import torch

    return "CUDA error" in str(error) and not isinstance(error, torch.cuda.OutOfMemoryError)


def _snake(error: Exception) -> str:
    """`OutOfMemoryError` -> `out_of_memory`."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).strip("_") or "error"
