"""The files of a prepared dataset.

| file | content |
|---|---|
| `dataset.json` | numbers of kept and removed pairs, with reasons |
| `examples.parquet` | one row per track |
| `vocabulary.txt` | words of the training captions |
| `audio.i16` | samples of all tracks, concatenated (16 kHz mono int16); optional, memory-mapped |
| `features.f16` | chunk features of all tracks (float16, row-major); optional, memory-mapped |
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
"""Folder of data that is computed later: features by other extractors, log-mels."""


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
    """Index in the dataset; part of the seed of all random numbers of the example."""
    track_id: str
    uri: str
    captions: tuple[str, ...]
    tags: tuple[str, ...]
    split: str
    duration_s: float | None
    audio_start: int
    """First sample in `audio.i16`; -1 if the audio is not stored."""
    num_samples: int
    feature_start: int
    """First row in `features.f16`; -1 if the features are not stored."""
    num_chunks: int
    replayed: bool = False
    """Whether the caption is that of the captioner from which a training starts, see `muscaps.training.replay`."""
