"""What tags, evidence, embeddings and scores cost: CPU-seconds of captioning known features with and without them.

    python tests/benchmark/tag_cost.py [FOLDER WITH AUDIO]      # default: the demo tracks

Rows are captioned in batches of six, as in a job, and written as Parquet. The three variants alternate in one process.
"""

import io
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from jobs.recipes import DEMO_CATALOGUE
from muscaps.audio import load_audio
from muscaps.checkpoint import BUNDLED
from muscaps.config import DecodingOptions
from muscaps.search_rules import SearchRules
from pipeline.captioning.rows import extend_rows
from pipeline.captioning.stages.caption import CaptionTracks
from pipeline.catalogue.audio_suffixes import is_audio
from pipeline.output.schema import RESULT

CHUNKS, BATCH, REPEATS = 7, 6, 15
OF_TAGS = ("tags", "has_vocals", "vocals_score", "music_score", "evidence", "embedding")
VARIANTS = {
    "all columns": "as a job writes them",
    "without the columns": "the search is guided by tag scores all the same",
    "without tag heads": "as with a checkpoint that has none",
}


class Stage:
    """The captioning stage for features that are known."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.stage = CaptionTracks(str(BUNDLED), DecodingOptions())
        self.captioner = self.stage._captioner
        features = self.captioner.features([_excerpt(load_audio(file), self.captioner.chunk_samples) for file in files])
        self.batches = [features[start : start + BATCH] for start in range(0, len(features), BATCH)]
        self.tagger, self.rules = self.captioner.tagger, self.captioner._rules
        words, card = self.captioner.vocabulary.words, self.captioner.card.get("decoding", {})
        self.bare_rules = SearchRules(words, None, card, self.captioner.device)
        self.num_tracks = len(features)

    def run(self, variant: str) -> float:
        """Return CPU-seconds per track."""
        self.captioner.tagger = self.tagger if variant == "all columns" else None
        self.captioner._rules = self.bare_rules if variant == "without tag heads" else self.rules
        started, tables = time.process_time(), []
        for batch in self.batches:
            self.captioner.features = lambda _, batch=batch: batch  # type: ignore[method-assign,misc]
            rows = self.stage._caption_all([np.zeros(0)] * len(batch))
            tables.append(_table(rows, () if variant == "all columns" else OF_TAGS))
        pq.write_table(pa.concat_tables(tables), io.BytesIO(), compression="zstd")
        return (time.process_time() - started) / self.num_tracks


def _excerpt(waveform: np.ndarray, chunk_samples: int) -> np.ndarray:
    """Return evenly spaced chunks, as effort balanced takes them."""
    starts = np.linspace(0, max(0, len(waveform) - chunk_samples), CHUNKS).astype(int)
    return np.concatenate([waveform[start : start + chunk_samples] for start in starts])


def _table(rows: Sequence[dict[str, Any]], left_out: Sequence[str]) -> pa.Table:
    kept = [{name: value for name, value in row.items() if name not in left_out} for row in rows]
    table = extend_rows(pa.table({"track_id": [str(number) for number in range(len(rows))]}), RESULT, kept)
    return table.drop_columns([name for name in left_out if name in table.column_names])


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO_CATALOGUE.parent
    torch.set_num_threads(1)
    stage = Stage([file for file in sorted(folder.iterdir()) if is_audio(file.name)])
    found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for number in range(REPEATS + 1):
        for variant in VARIANTS:
            seconds = stage.run(variant)
            if number:  # the first round is a warm-up
                found[variant].append(1e3 * seconds)
    print(f"{stage.num_tracks} tracks of {CHUNKS} chunks, {REPEATS} repetitions, ms of CPU time per track")
    for variant, times in found.items():
        print(f"{variant:22}minimum {min(times):.2f}, median {statistics.median(times):.2f}   ({VARIANTS[variant]})")


if __name__ == "__main__":
    main()
