"""Duration of a search: a captioner of the paper's size with random weights, features of one chunk per track.

Without attention a search reads mean features only, so more chunks change only the first search, which builds the
index. Prints the fastest of some queries and the process's peak memory. Run it on an idle machine.

    python tests/benchmark/search_speed.py 100000 --fusion early
"""

import argparse
import math
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    import numpy as np
    import torch

    from muscaps.checkpoint import save_checkpoint
    from muscaps.config import ModelConfig
    from muscaps.models.architectures import build_captioner
    from muscaps.vocabulary import SPECIAL_TOKENS, Vocabulary
    from pipeline.reading.search import SearchConfig, search
    from tests.finished_output import write_features

    parser = argparse.ArgumentParser()
    parser.add_argument("tracks", type=int)
    parser.add_argument("--fusion", default="early", choices=["early", "late", "attention"])
    parser.add_argument("--queries", type=int, default=3, help="searches after the first; the fastest is printed")
    parser.add_argument("--query", default="relaxed acoustic guitar with soft piano")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    words = [*SPECIAL_TOKENS, *arguments.query.split(), *(f"word{n}" for n in range(2_490))]
    config = ModelConfig(fusion=arguments.fusion, vocabulary_size=len(words))
    model = build_captioner(config, torch.randn(len(words), config.word_embedding_dim))
    base = np.random.default_rng(0).standard_normal((5_000, 1, 753)).astype(np.float16)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, output = Path(folder) / "model", Path(folder) / "output"
        model_id = save_checkpoint(checkpoint, model, Vocabulary(words), name="speed", training={}, metrics={})
        for part in range(-(-arguments.tracks // 5_000)):
            rows = {f"t{part * 5_000 + n:07d}": base[n] + np.float16(part / 100) for n in range(5_000)}
            write_features(
                output, dict(list(rows.items())[: arguments.tracks - part * 5_000]), f"{part}.parquet", model_id
            )
        request = SearchConfig(output=str(output), query=arguments.query, checkpoint=str(checkpoint))
        before = _peak_mib()
        started = time.monotonic()
        search(request)
        first = time.monotonic() - started
        print(f"{arguments.tracks:,} tracks, {arguments.fusion}: first search {first:.1f} s", flush=True)
        best, cpu = math.inf, math.inf
        for _ in range(arguments.queries):
            before_query = time.process_time()
            best = min(best, search(request).seconds)
            cpu = min(cpu, time.process_time() - before_query)
    print(f"then {best:.1f} s a query, {cpu:.1f} core-seconds")
    print(f"peak memory {_peak_mib():,.0f} MiB, of which {before:,.0f} before the first search")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
