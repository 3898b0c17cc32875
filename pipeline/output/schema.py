"""The Arrow schemas of every table that muscaps reads or writes (columns in words: docs/glossary.md).

Conventions: times ending in `_at` are UTC timestamps in microseconds; durations ending in `_s` are seconds;
log-probabilities are natural logarithms summed over the words and `<eos>`.
"""

import pyarrow as pa

from muscaps.config import DecodingOptions

HYPOTHESES = pa.list_(pa.struct([pa.field("caption", pa.string()), pa.field("log_prob", pa.float64())]))
SEGMENTS = pa.list_(
    pa.struct(
        [
            pa.field("start_s", pa.float64()),
            pa.field("end_s", pa.float64()),
            pa.field("caption", pa.string()),
            pa.field("log_prob", pa.float64()),
        ]
    )
)
EVIDENCE = pa.list_(
    pa.struct([pa.field("word", pa.string()), pa.field("tag", pa.string()), pa.field("score", pa.float64())])
)
TAGS = pa.list_(
    pa.struct([pa.field("facet", pa.string()), pa.field("tag", pa.string()), pa.field("score", pa.float64())])
)
EMBEDDING = pa.list_(pa.float32())
"""A run knows the width and writes a list of fixed size; files of models of several widths are read with this type. The
values are rounded to float16, but not stored as such: Spark 4.1 cannot read a file that has a column of float16."""
DECODING = pa.struct(
    [
        pa.field("beam_size", pa.int32()),
        pa.field("max_words", pa.int32()),
        pa.field("no_repeated_words", pa.bool_()),
        pa.field("allow_unknown", pa.bool_()),
        pa.field("word_reward", pa.float64()),
        pa.field("word_limit", pa.int32()),
        pa.field("char_limit", pa.int32()),
    ]
)
"""Options of the beam search. `no_repeated_words`, `allow_unknown` and `word_reward` are null if the value of the model
card was used, the limits if there was none."""
TIMESTAMP = pa.timestamp("us", tz="UTC")

CATALOGUE_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("duration_s", pa.float64()),
        pa.field("etag", pa.string()),
        pa.field("title", pa.string()),
        pa.field("artist", pa.string()),
        pa.field("album", pa.string()),
        pa.field("isrc", pa.string()),
    ]
)
"""A catalogue row; only `uri` must be given. Unknown columns pass through to the captions."""

CAPTION_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("etag", pa.string()),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("log_prob", pa.float64(), nullable=False),
        pa.field("alternatives", HYPOTHESES),
        pa.field("segments", SEGMENTS),
        pa.field("attention", pa.list_(pa.list_(pa.float32()))),
        pa.field("tags", TAGS),
        pa.field("has_vocals", pa.bool_()),
        pa.field("vocals_score", pa.float64()),
        pa.field("music_score", pa.float64()),
        pa.field("evidence", EVIDENCE),
        pa.field("embedding", EMBEDDING),
        pa.field("duration_s", pa.float64()),
        pa.field("sample_rate", pa.int32()),
        pa.field("channels", pa.int32()),
        pa.field("num_chunks", pa.int32()),
        pa.field("coverage", pa.float64()),
        pa.field("effort", pa.string()),
        pa.field("damage", pa.string()),
        pa.field("shared_from", pa.string()),
        pa.field("shared_from_etag", pa.string()),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("decoding", DECODING, nullable=False),
        pa.field("code_version", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("created_at", TIMESTAMP, nullable=False),
    ]
)
"""One captioned track.

- `segments` and `attention` are null unless requested; `attention` is (words + <eos>, chunks).
- `sample_rate` and `channels` are those of the original file.
- `coverage` is the fraction of the track that was processed, 0 to 1. Two things reduce it: chunks that were left out,
  and audio that the file's header states but the file does not have.
- `effort` is quick, balanced or thorough: what the run asked for, see `pipeline.output.effort`; null in files of older
  releases, which were thorough.
- `damage` states what was lost or repaired in the file; null for an intact file.
- `tags` has calibrated scores, `vocals_score` the calibrated probability of vocals, `evidence` the scores of the tags
  that the caption claims, with the words. They are null if the checkpoint has no tag heads. `has_vocals` is null as
  well if the score is between no and yes. `music_score` is the probability that the track is music, not speech or
  noise; null if the checkpoint has no head for it.
- `embedding` is the audio embedding of the track, one vector of the width that the model card states as `hidden_dim`.
- `shared_from` is the track, normally the master, whose caption this version shares, and `shared_from_etag` the version
  of that track's file. Both are null for a track that was captioned itself. The audio of a version is not processed:
  its row has no tag about vocals, and nothing that describes the sound of its own file (`has_vocals`, `embedding`,
  `sample_rate`, `coverage`, ...); `duration_s` is that of the catalogue.

The catalogue's other columns follow.
"""

FAILURE_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("error_type", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("retryable", pa.bool_(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("created_at", TIMESTAMP, nullable=False),
        pa.field("etag", pa.string()),
        pa.field("model_id", pa.string()),
    ]
)
"""One failed attempt at a track; `stage` is fetch, decode or caption. `etag` is the version of the file that failed,
where known. A track is tried again when its file has another version, or, where captioning failed, with another
`model_id`."""

FEATURE_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("etag", pa.string()),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("num_chunks", pa.int32(), nullable=False),
        pa.field("feature_dim", pa.int32(), nullable=False),
        pa.field("features", pa.large_binary(), nullable=False),
    ]
)
"""A track's `(num_chunks, feature_dim)` features, float16, row-major, little-endian."""

REVIEWED_TAGS = pa.list_(pa.struct([pa.field("facet", pa.string()), pa.field("tag", pa.string())]))
REVIEW_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("machine_caption", pa.string(), nullable=False),
        pa.field("tags_on", REVIEWED_TAGS),
        pa.field("tags_off", REVIEWED_TAGS),
        pa.field("certainty", pa.float64()),
        pa.field("sample", pa.string()),
        pa.field("etag", pa.string()),
        pa.field("model_id", pa.string()),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("created_at", TIMESTAMP, nullable=False),
    ]
)
"""A person's decision about one caption; the newest of a track counts.

- `verdict` is accepted, edited or rejected. `caption` is the text that the person wants: null if rejected.
- `tags_on` and `tags_off` are the tags that the person switched on or off.
- `certainty` is the mean score of the caption's claims. `sample` is random or least_certain if the track was drawn by
  `muscaps review sample`, null if the person chose it.
- `created_at` is the time of the decision. `run_id` names the `muscaps review apply` that wrote the row.
"""

_FAILURE = pa.schema([FAILURE_SCHEMA.field(name) for name in ("stage", "error_type", "message", "retryable")])
_DECODED_AUDIO = pa.schema(
    [CAPTION_SCHEMA.field(name) for name in ("sample_rate", "channels", "num_chunks", "coverage", "damage")]
    + [pa.field("decoded_duration_s", pa.float64()), pa.field("share_kept", pa.float64())]
)
_DECODE_COST = pa.schema(
    [(name, pa.float64()) for name in ("fetch_seconds", "decode_seconds", "decoded_at")]  # the last since 1970
    + [("decode_peak_bytes", pa.int64())]
)
_PCM = pa.schema([("pcm", pa.large_binary())])
_CAPTION_STAGE = (
    "caption", "log_prob", "alternatives", "segments", "attention", "tags", "has_vocals", "vocals_score",
    "music_score", "evidence", "embedding", "created_at",
)  # fmt: skip
_CAPTIONED = pa.schema(
    [CAPTION_SCHEMA.field(name) for name in _CAPTION_STAGE]
    + [FEATURE_SCHEMA.field("features"), pa.field("feature_dim", pa.int32())]
    + [pa.field("feature_seconds", pa.float64()), pa.field("search_seconds", pa.float64())]
    + [pa.field("caption_peak_bytes", pa.int64())]
)


def _nullable(*schemas: pa.Schema) -> pa.Schema:
    return pa.schema([column.with_nullable(True) for schema in schemas for column in schema])


DECODED = _nullable(_DECODED_AUDIO, _FAILURE, _DECODE_COST, _PCM)
"""What `fetch_and_decode` adds; `pcm` is null exactly if `stage` is not."""
RESULT = _nullable(_DECODED_AUDIO, _FAILURE, _DECODE_COST, _CAPTIONED)
"""What a row holds at the end, in addition to the catalogue's columns and `attempt`; `caption` is null exactly if
`stage` is not."""


def caption_schema(catalogue: pa.Schema, embedding_dim: int | None) -> pa.Schema:
    """Return the schema of a run's captions.

    Args:
        catalogue: The catalogue's own columns, which follow ours.
        embedding_dim: Width of the embeddings; None for any.
    """
    embedding = pa.list_(pa.float32(), -1 if embedding_dim is None else embedding_dim)
    index = CAPTION_SCHEMA.get_field_index("embedding")
    own = CAPTION_SCHEMA.set(index, CAPTION_SCHEMA.field(index).with_type(embedding))
    return pa.schema([*own, *catalogue])


def decoding_of(options: DecodingOptions) -> dict[str, int | float | bool | None]:
    """Return the values of column `decoding`: a track is captioned again if one of these options changes."""
    return {part.name: getattr(options, part.name) for part in DECODING}
