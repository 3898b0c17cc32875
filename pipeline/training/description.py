"""Captions from facts: a catalogue with facts, or a rendered corpus, becomes a table of pairs.

Conventions: a table with the column `parts` is a rendered corpus, any other is a catalogue whose columns `instruments`,
`feel`, `genre` and `bpm` state facts. The captions of a track depend on its facts, its `track_id` and the seed only.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from muscaps import lexicon
from muscaps.corpus.caption_statistics import CaptionStatistics, measure_captions
from muscaps.corpus.captions import describe
from muscaps.corpus.catalogue_facts import facts_of_catalogue_row
from muscaps.corpus.clip import split_of
from muscaps.corpus.clip_facts import facts_of_clip, truth_from_row
from muscaps.corpus.facts import Facts
from pipeline import storage
from pipeline.training.pair_files import read_table

DESCRIBED_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("captions", pa.list_(pa.string()), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("families", pa.list_(pa.string()), nullable=False),
        pa.field("instruments", pa.list_(pa.string()), nullable=False),
        pa.field("genres", pa.list_(pa.string()), nullable=False),
        pa.field("moods", pa.list_(pa.string()), nullable=False),
        pa.field("feels", pa.list_(pa.string()), nullable=False),
        pa.field("energies", pa.list_(pa.string()), nullable=False),
        pa.field("tempo", pa.string(), nullable=False),
        pa.field("bpm", pa.float64(), nullable=False),
        pa.field("vocals", pa.string(), nullable=False),
        pa.field("solo", pa.bool_(), nullable=False),
    ]
)
"""A described track. `uri` is absolute; facts are tags of `muscaps.lexicon`; an empty fact is unknown."""


@dataclass(frozen=True, kw_only=True)
class DescriptionConfig:
    """What to describe."""

    source: str
    """Catalogue with facts, or `pairs.parquet` of a rendered corpus."""
    output: str
    """Parquet file of the pairs."""
    num_captions: int = 8
    """Captions per track at most."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_captions < 1:
            raise ValueError(f"num_captions must be at least 1, not {self.num_captions}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, not {self.seed}")


@dataclass(frozen=True, kw_only=True)
class DescriptionSummary:
    """What was written."""

    described: int
    too_few_facts: int
    """Tracks left out because their facts do not fill a sentence of five words."""
    statistics: CaptionStatistics


def facts_of_row(row: Mapping[str, Any]) -> Facts:
    """Return the facts of a row of a rendered corpus or of a catalogue."""
    if row.get("parts") is not None:
        return facts_of_clip(truth_from_row(row), float(row["duration_s"]))
    return facts_of_catalogue_row(row)


def facts_as_columns(facts: Facts) -> dict[str, Any]:
    """Return facts as the columns of `DESCRIBED_SCHEMA`, the tag list for a tagger included."""
    names = ", ".join(phrase for fact in facts.instruments for phrase in fact.phrases[:1])
    columns: dict[str, Any] = {
        "families": list(facts.families),
        "instruments": sorted(lexicon.tags_in(names, "instrument")),
        "genres": sorted(facts.tags_of_genres("genre")),
        "moods": sorted(facts.coarse_moods),
        "feels": sorted(facts.feels),
        "energies": sorted(facts.energies),
        "tempo": facts.tempo,
        "bpm": facts.bpm,
        "vocals": facts.vocals,
        "solo": facts.solo,
    }
    tags = [*columns["families"], *columns["instruments"], *columns["feels"]]
    tags += [f"{mood} mood" for mood in columns["moods"]] + [f"{energy} energy" for energy in columns["energies"]]
    tags += [f"{facts.tempo} tempo"] if facts.tempo else []
    tags += [f"style {genre}" for genre in columns["genres"]] + (["solo"] if facts.solo else [])
    return {**columns, "tags": list(dict.fromkeys(tags))}


def describe_tracks(config: DescriptionConfig) -> DescriptionSummary:
    """Write captions for every track of a table.

    Raises:
        ValueError: A row has no `uri`, or no track has enough facts.
        pipeline.storage.StorageError: The source cannot be read or the output not written.
    """
    import pyarrow.parquet as pq

    source = read_table(config.source)
    if "uri" not in source.column_names:
        raise ValueError(f"{config.source} needs the column uri; it has {', '.join(source.column_names)}")
    rows = list(_described(source, config))
    kept = [row for row in rows if row["captions"]]
    if not kept:
        raise ValueError(f"no track of {config.source} has facts enough; the columns are instruments, feel, genre, bpm")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(kept, schema=DESCRIBED_SCHEMA), buffer)
    storage.write_once(config.output, buffer.getvalue())
    captions = [caption for row in kept for caption in row["captions"]]
    return DescriptionSummary(
        described=len(kept), too_few_facts=len(rows) - len(kept), statistics=measure_captions(captions)
    )


def _described(source: pa.Table, config: DescriptionConfig) -> Iterator[dict[str, Any]]:
    for line, row in enumerate(source.to_pylist(), start=1):
        if not row["uri"]:
            raise ValueError(f"{config.source}, row {line}: has no uri")
        track_id = str(row.get("track_id") or row["uri"])
        facts = facts_of_row(row)
        captions = describe(facts, caption_generator(config.seed, track_id), config.num_captions)
        yield {
            "track_id": track_id,
            "uri": storage.resolve(str(row["uri"]), config.source, allow_local=True),
            "caption": captions[0] if captions else "",
            "captions": captions,
            "split": row.get("split") or split_of(str(row.get("split_group") or track_id)),
            **facts_as_columns(facts),
        }


def caption_generator(seed: int, track_id: str) -> np.random.Generator:
    """Return the random numbers for the captions of a track."""
    digest = hashlib.sha256(track_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
