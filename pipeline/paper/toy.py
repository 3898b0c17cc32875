"""A toy dataset for trying the experiments: synthesised tones and beats with captions written from their facts.

Nothing is downloaded and no soundfont is needed. Every third track counts as real, so that all tables are written.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from muscaps.corpus.captions import describe
from muscaps.corpus.facts import Facts, InstrumentFact
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.splits import assign_splits
from muscaps.training.dataset.writer import DatasetWriter
from pipeline.paper.pairs import REAL as REAL_ORIGIN
from pipeline.paper.pairs import RENDERED, facts_as_cells
from pipeline.training.description import facts_as_columns

DATASET, FACTS = "toy_dataset", "toy_facts.parquet"
NUM_TRACKS, SECONDS, SAMPLE_RATE = 150, 6, 16_000
_SOUNDS = {"piano": (1, 3.0, 6), "flute": (2, 0.2, 1), "church organ": (0.5, 0.0, 8), "marimba": (1.5, 9.0, 2)}
"""Octave, decay per second and number of harmonics of a sound."""
_TEMPOS = {"slow": 60.0, "medium": 110.0, "fast": 170.0}
_MOODS = {"dark": (0, 3, 7), "bright": (0, 4, 7)}
"""Semitones of the chord."""


def write_toy_dataset(output: Path) -> tuple[Path, Path]:
    """Write the dataset and its table of facts into a folder, unless they are there; return both paths."""
    dataset, table = output / DATASET, output / FACTS
    if (dataset / "dataset.json").exists() and table.exists():
        return dataset, table
    writer, pairs, rows = DatasetWriter(dataset), [], []
    for index in range(NUM_TRACKS):
        generator = np.random.default_rng([0x70F, index])
        facts = _facts(generator)
        [caption] = describe(facts, generator, 1)
        name = f"toy-{index:03d}"
        writer.store(name, audio=_audio(facts, generator))
        columns = facts_as_columns(facts)
        pairs.append(
            Pair(track_id=name, uri="", captions=(caption,), tags=tuple(columns["tags"]), duration_s=float(SECONDS))
        )
        origin = RENDERED if index % 3 else REAL_ORIGIN
        rows.append({"track_id": name, "origin": origin, **facts_as_cells(facts)})
    writer.finish(assign_splits(pairs))
    pq.write_table(pa.Table.from_pylist(rows), table)
    return dataset, table


def _facts(generator: np.random.Generator) -> Facts:
    name, tempo = str(generator.choice(list(_SOUNDS))), str(generator.choice(list(_TEMPOS)))
    instruments = [InstrumentFact(name=name)]
    if generator.random() < 0.5:
        instruments.append(InstrumentFact(name="drum kit"))
    return Facts(
        instruments=tuple(instruments),
        complete=True,
        moods=(str(generator.choice(list(_MOODS))),),
        tempo=tempo,
        bpm=_TEMPOS[tempo],
    )


def _audio(facts: Facts, generator: np.random.Generator) -> np.ndarray:
    """Repeat a chord on every beat, with noise between them for drums: int16, (samples,)."""
    octave, decay, harmonics = _SOUNDS[facts.instruments[0].name]
    beat = round(60 / facts.bpm * SAMPLE_RATE)
    time = np.arange(beat) / SAMPLE_RATE
    root = 220 * octave * 2 ** (generator.integers(-4, 5) / 12)
    chord = np.zeros(beat)
    for semitones in _MOODS[facts.moods[0]]:
        for harmonic in range(1, harmonics + 1):
            chord += np.sin(2 * np.pi * root * 2 ** (semitones / 12) * harmonic * time) / harmonic
    chord *= np.exp(-decay * time) * np.minimum(1, time * 200) * np.minimum(1, (beat - np.arange(beat)) / 400)
    if len(facts.instruments) > 1:
        chord += generator.normal(size=beat) * np.exp(-30 * np.abs(time - time[beat // 2]))
    whole = np.tile(chord / np.abs(chord).max(), SECONDS * SAMPLE_RATE // beat + 1)[: SECONDS * SAMPLE_RATE]
    return (whole * 20_000).astype(np.int16)
