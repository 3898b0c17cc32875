"""The files of a prepared dataset.

`dataset.json` counts what was kept and why the rest was dropped, `examples.parquet` holds one row per track,
`vocabulary.txt` the words of the training captions. `audio.i16` holds every track's samples (16 kHz mono int16, one
after another) and `features.f16` every track's chunk features (float16, row-major); both are memory-mapped, and each
may be absent.
"""

from dataclasses import dataclass

import pyarrow as pa

FORMAT_VERSION = 1


CARD, EXAMPLES, WORDS, AUDIO, FEATURES = (
    "dataset.json",
    "examples.parquet",
    "vocabulary.txt",
    "audio.i16",
    "features.f16",
)


CACHES = "features"
"""Folder of what is computed from a dataset later: features by other extractors, log-mels."""


EXAMPLE_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("captions", pa.list_(pa.string()), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("duration_s", pa.float64()),
        pa.field("audio_start", pa.int64(), nullable=False),
        pa.field("num_samples", pa.int64(), nullable=False),
        pa.field("feature_start", pa.int64(), nullable=False),
        pa.field("num_chunks", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """A track of a prepared dataset."""

    index: int
    """Index in the dataset; part of the seed of everything drawn for it."""
    track_id: str
    uri: str
    captions: tuple[str, ...]
    tags: tuple[str, ...]
    split: str
    duration_s: float | None
    audio_start: int
    """First sample in `audio.i16`; -1 if its audio is not cached."""
    num_samples: int
    feature_start: int
    """First row in `features.f16`; -1 if its features are not cached."""
    num_chunks: int
