"""A search on Ray: one actor per core, each features file on whichever is free."""

from collections.abc import Sequence
from typing import Any

from pipeline.captioning.checkpoint_transfer import local_checkpoint
from pipeline.cluster.session import cluster_size, ray_session
from pipeline.reading.search.file_ranking import (
    Found,
    ScoringPass,
    best_tracks,
    search_file,
)
from pipeline.reading.search.index import FeatureFile
from pipeline.reading.search.query import SearchConfig


def load_captioner(checkpoint: str | None, device: str | None = None) -> Any:
    import torch

    from muscaps.captioner import Captioner

    with local_checkpoint(checkpoint) as directory:
        return Captioner.load(directory, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))


def search_on_ray(search_pass: ScoringPass, parts: Sequence[FeatureFile], config: SearchConfig) -> list[Found]:
    """Search the parts on Ray, one actor a core, each file on whichever is free."""
    import ray
    from ray.util import ActorPool

    with ray_session(config.address):
        captioner = ray.put(load_captioner(config.checkpoint, device="cpu"))  # the nodes may not see the checkpoint
        actor: Any = ray.remote(num_cpus=1)(_Searcher)
        workers = min(cluster_size()[0], len(parts))
        pool: Any = ActorPool([actor.remote(captioner) for _ in range(workers)])
        answers = pool.map_unordered(lambda worker, part: worker.search.remote(search_pass, part), parts)
        return best_tracks(answers, search_pass.top)


class _Searcher:
    """A captioner in a Ray actor."""

    def __init__(self, captioner: Any) -> None:
        import torch

        torch.set_num_threads(1)
        self._captioner = captioner

    def search(self, search_pass: ScoringPass, part: FeatureFile) -> list[Found]:
        """The best tracks of one features file."""
        return search_file(search_pass, part, self._captioner)
