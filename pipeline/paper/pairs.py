"""Make the pairs of the paper's experiments from rendered clips and excerpts of real tracks with facts.

    python -m pipeline.paper.pairs OUT.parquet --rendered corpus/pairs.parquet --real real/catalogue.csv

OUT.parquet is a table for `muscaps dataset prepare`, and for `muscaps experiment --facts`: column `origin` is
`rendered` or `real`, and `instruments`, `feel`, `genre` and `bpm` state facts as a catalogue does. Every pair has one
caption, written by the grammar from these facts, and no caption occurs twice.

A catalogue of real tracks has `track_id`, `uri`, the four columns of facts, perhaps `licence` and `split_group`
(versions of a piece), and perhaps `seconds`. Of each track, overlapping excerpts at equal distances are taken, which
share their `split_group`. Tracks of a --test-only catalogue, and those whose licence has the words of
--measure-licence, are only in the test split. Clips from the same score also share a group.
"""

import argparse
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from muscaps.corpus.captions import describe
from muscaps.corpus.clip_facts import facts_of_clip, truth_from_row
from muscaps.corpus.facts import Facts
from muscaps.corpus.instrument_phrases import PHRASES
from muscaps.corpus.mood_words import MOODS
from pipeline import storage
from pipeline.training.description import caption_generator, facts_as_columns, facts_of_row
from pipeline.training.pair_files import read_table

logger = logging.getLogger("muscaps.pairs")

RENDERED, REAL = "rendered", "real"
PAIRS_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("split", pa.string()),
        pa.field("split_group", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64()),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("instruments", pa.string(), nullable=False),
        pa.field("feel", pa.string(), nullable=False),
        pa.field("genre", pa.string(), nullable=False),
        pa.field("bpm", pa.float64(), nullable=False),
    ]
)
_ENERGY_WORDS = {"high": "loud", "low": "quiet"}
"""Words that claim an energy and nothing else; medium energy has none."""
_WRITTEN = 12
"""Captions written per pair at most, of which the first that is new is taken."""


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Which pairs are made."""

    output: str
    """Parquet file."""
    rendered: Sequence[str] = ()
    """Files `pairs.parquet` of rendered corpora."""
    real: Sequence[str] = ()
    """Catalogues of real tracks with facts."""
    test_only: Sequence[str] = ()
    """Catalogues of real tracks that are only in the test split."""
    measure_licence: str = "BY-SA"
    """Tracks whose licence contains this are only in the test split."""
    num_excerpts: int = 4
    """Excerpts of each real track at most."""
    excerpt_seconds: float = 30.0
    """Length of an excerpt in seconds."""
    seed: int = 0
    """Seed of the captions."""

    def __post_init__(self) -> None:
        if not (self.rendered or self.real or self.test_only):
            raise ValueError("no source of pairs: give --rendered, --real or --test-only")
        if self.num_excerpts < 1 or self.excerpt_seconds <= 0 or self.seed < 0:
            raise ValueError(
                f"num_excerpts={self.num_excerpts} must be at least 1, excerpt_seconds={self.excerpt_seconds} "
                f"positive, and seed={self.seed} not negative"
            )


@dataclass(frozen=True, kw_only=True)
class PairsSummary:
    """What was written."""

    pairs: Mapping[str, int]
    """Pairs by origin."""
    too_few_facts: int
    """Tracks and clips without a caption, because too little is known or all captions were taken."""


def write_pairs(config: PairsConfig) -> PairsSummary:
    """Write the pairs.

    Raises:
        ValueError: A source lacks a column or a duration, or nothing can be described.
        pipeline.storage.StorageError: A source cannot be read or the output not written.
    """
    written: list[dict[str, Any]] = []
    taken: set[str] = set()
    left_out = 0
    for row, facts, excerpts in _tracks(config):
        texts = describe(facts, caption_generator(config.seed, row["track_id"]), _WRITTEN)
        new = [text for text in texts if text.lower() not in taken][: len(excerpts)]
        left_out += not new
        for number, (text, (start, end)) in enumerate(zip(new, excerpts, strict=False)):
            taken.add(text.lower())
            name = row["track_id"] if len(excerpts) == 1 else f"{row['track_id']}-{number}"
            written.append({**row, "track_id": name, "caption": text, "start_s": start, "end_s": end})
    if not written:
        raise ValueError("no track has facts enough; the columns are instruments, feel, genre and bpm")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(written, schema=PAIRS_SCHEMA), buffer)
    storage.write_once(config.output, buffer.getvalue())
    counts = {origin: sum(row["origin"] == origin for row in written) for origin in (RENDERED, REAL)}
    return PairsSummary(pairs=counts, too_few_facts=left_out)


_Excerpts = list[tuple[float, float | None]]


def _tracks(config: PairsConfig) -> Iterator[tuple[dict[str, Any], Facts, _Excerpts]]:
    """Yield the common columns, the facts and the excerpts of every track and clip."""
    for source in config.rendered:
        for row in _rows(source):
            facts = facts_of_clip(truth_from_row(row), float(row["duration_s"]))
            common = _common(row, source, RENDERED) | facts_as_cells(facts)
            common |= {"tags": facts_as_columns(facts)["tags"], "split_group": str(row["source"]), "split": None}
            yield common, facts, [(0.0, None)]
    for source in (*config.real, *config.test_only):
        for row in _rows(source):
            measured = source in config.test_only or _has_licence(row, config.measure_licence)
            common = _common(row, source, REAL) | {name: str(row.get(name) or "") for name in _CELLS}
            common |= {"bpm": _number(row.get("bpm")), "split": "test" if measured else None}
            group = str(row.get("split_group") or row.get("title") or common["track_id"])
            # An incomplete list of instruments is no list of tags: without tags a track is not in tagger training.
            common |= {"tags": [], "split_group": f"{REAL}:{group}"}
            yield common, facts_of_row(row), _excerpts(row, config)


_CELLS = ("instruments", "feel", "genre")


def facts_as_cells(facts: Facts) -> dict[str, Any]:
    """Write facts as cells of a catalogue, from which `muscaps.evaluation.facts` reads the same facts."""
    energies = [_ENERGY_WORDS[energy] for energy in sorted(facts.energies) if energy in _ENERGY_WORDS]
    return {
        "instruments": ", ".join(PHRASES[fact.name][0] for fact in facts.instruments),
        "feel": ", ".join([*(MOODS[mood].words[0] for mood in facts.moods), *energies]),
        "genre": ", ".join(facts.genres),
        "bpm": facts.bpm,
    }


def _rows(source: str) -> Iterator[dict[str, Any]]:
    table = read_table(source)
    if "uri" not in table.column_names:
        raise ValueError(f"{source} needs the column uri; it has {', '.join(table.column_names)}")
    yield from table.to_pylist()


def _common(row: Mapping[str, Any], source: str, origin: str) -> dict[str, Any]:
    return {
        "track_id": str(row.get("track_id") or row["uri"]),
        "uri": storage.resolve(str(row["uri"]), source, allow_local=True),
        "origin": origin,
    }


def _has_licence(row: Mapping[str, Any], words: str) -> bool:
    return bool(words) and words.lower() in str(row.get("licence") or "").lower()


def _number(cell: object) -> float:
    return float(str(cell)) if cell not in (None, "") else 0.0


def _excerpts(row: Mapping[str, Any], config: PairsConfig) -> _Excerpts:
    """Return start and end of the excerpts of a track; the whole track if it is not longer than one."""
    length, seconds = config.excerpt_seconds, _number(row.get("seconds"))
    spare = np.floor(seconds - length)  # rounded down, because the stated length may exceed the decoded one a little
    if spare <= 0:
        return [(0.0, None)]
    starts = np.unique(np.linspace(0, spare, config.num_excerpts).round(2))
    return [(float(start), float(start + length)) for start in starts]


def main() -> None:
    """Run the command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", metavar="OUT.parquet")
    parser.add_argument("--rendered", action="append", default=[], help="pairs.parquet of a rendered corpus")
    parser.add_argument("--real", action="append", default=[], help="catalogue of real tracks with facts")
    parser.add_argument("--test-only", action="append", default=[], help="catalogue of tracks for the test split")
    parser.add_argument("--measure-licence", default="BY-SA", help="licence of tracks for the test split")
    parser.add_argument("--num-excerpts", type=int, default=4, help="excerpts of a real track")
    parser.add_argument("--excerpt-seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    try:
        summary = write_pairs(PairsConfig(**vars(parser.parse_args())))
    except (ValueError, storage.StorageError) as error:
        parser.error(str(error))
    counts = ", ".join(f"{count} {origin}" for origin, count in summary.pairs.items())
    logger.info("%s pairs; %d tracks have too few facts for a caption of their own", counts, summary.too_few_facts)


if __name__ == "__main__":
    main()
