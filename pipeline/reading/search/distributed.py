"""A search on Ray: one actor per CPU core, each features file on the next free actor."""

from collections.abc import Sequence
from typing import Any

from pipeline.captioning.checkpoint_transfer import local_checkpoint
from pipeline.cluster.session import cluster_size, ray_session
from pipeline.reading.search.file_ranking import ScoredTrack, ScoringPass, best_tracks, rank_file
from pipeline.reading.search.index import FeatureFile
from pipeline.reading.search.query import SearchConfig


def load_captioner(checkpoint: str | None, device: str | None = None) -> Any:
    """Load a captioner.

    Args:
        checkpoint: Checkpoint directory or URI; None for the bundled one.
        device: A torch device; None for CUDA where it is available, else the CPU.
    """
    import torch  # 1.4 s

    from muscaps.captioner import Captioner

    with local_checkpoint(checkpoint) as directory:
        return Captioner.load(directory, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))


def rank_on_ray(scoring: ScoringPass, files: Sequence[FeatureFile], config: SearchConfig) -> list[ScoredTrack]:
    """Rank the features files on Ray and return the best tracks of all."""
    import ray  # slow to import; a small search does not need it
    from ray.util import ActorPool

    with ray_session(config.address):
        captioner = ray.put(load_captioner(config.checkpoint, device="cpu"))  # nodes may lack its files
        actor: Any = ray.remote(num_cpus=1)(_FileRanker)
        num_actors = min(cluster_size()[0], len(files))
        pool: Any = ActorPool([actor.remote(captioner) for _ in range(num_actors)])
        results = pool.map_unordered(lambda ranker, file: ranker.rank.remote(scoring, file), files)
        return best_tracks(results, scoring.top)


class _FileRanker:
    """A captioner in a Ray actor."""

    def __init__(self, captioner: Any) -> None:
        import torch

        torch.set_num_threads(1)
        self._captioner = captioner

    def rank(self, scoring: ScoringPass, file: FeatureFile) -> list[ScoredTrack]:
        """Return the best tracks of one features file."""
        return rank_file(scoring, file, self._captioner)
