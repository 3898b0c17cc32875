"""Chunk features on Ray Data: of decoded tracks while preparing, and of a prepared dataset's cached audio."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import torch

from muscaps.audio import to_chunks
from muscaps.inference import prepare_extractor
from muscaps.models.musicnn import Musicnn
from muscaps.training.augmentation import disturbed_chunks
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.pretrained_extractor import load_any_extractor
from pipeline.cluster.session import cluster_size

logger = logging.getLogger(__name__)

ROWS_PER_TASK = 8


OnProgress = Callable[[int, int], None]
"""Told how many tracks are done, and of how many."""


class ExtractFeatures:
    """Adds chunk features to batches of decoded tracks, with an extractor that is loaded once."""

    def __init__(
        self, directory: str, *, keep_audio: bool, use_gpu: bool = False, threads: int = 1, version: int = 0
    ) -> None:
        """Load the extractor of an extractor or captioner checkpoint.

        Args:
            directory: The checkpoint.
            keep_audio: Whether to hand on the PCM.
            use_gpu: Whether a GPU was set aside for this.
            threads: CPU threads.
            version: 0 for the tracks as they are; else which disturbed copy, drawn from it and `index`.
        """

        torch.set_num_threads(threads)
        self._device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        self._batch = 256 if self._device == "cuda" else 4  # a CPU's cache holds a small batch only
        self._extractor = prepare_extractor(load_any_extractor(Path(directory))).to(self._device)
        self._keep_audio, self._version = keep_audio, version

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Add `features`, float16 as binary, and `feature_dim`; null where decoding failed."""

        rows: list[bytes | None] = []
        pcm = batch["pcm"]
        for index in range(batch.num_rows):
            if not pcm[index].is_valid:
                rows.append(None)
                continue
            chunks = to_chunks(np.frombuffer(pcm[index].as_buffer(), dtype="<i2"), self._extractor.chunk_samples)
            with torch.inference_mode():
                spectrograms = [
                    self._extractor.spectrogram(part.to(self._device).float() / 32_768)
                    for part in torch.split(torch.from_numpy(chunks.copy()), self._batch)
                ]
                if self._version:
                    seed = (self._version, batch["index"][index].as_py())
                    whole = disturbed_chunks(torch.cat(spectrograms).cpu(), seed).to(self._device)
                    spectrograms = list(torch.split(whole, self._batch))
                parts = [self._extractor.from_spectrogram(part).cpu() for part in spectrograms]
            rows.append(torch.cat(parts).numpy().astype("<f2").tobytes())
        batch = batch.append_column("features", pa.array(rows, pa.large_binary()))
        return batch if self._keep_audio else batch.drop_columns(["pcm"])


class ExtractCached:
    """Computes features of a prepared dataset's tracks from its cached audio, with an extractor loaded once."""

    def __init__(self, dataset: str, extractor: str, *, use_gpu: bool = False, version: int = 0) -> None:
        """Open the dataset and load the extractor; `version` as in `ExtractFeatures`."""
        self._dataset = PreparedDataset(dataset)
        self._stage = ExtractFeatures(extractor, keep_audio=False, use_gpu=use_gpu, version=version)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """`index` of examples -> `index`, `features` as float16 binary."""
        indices = batch["index"].to_pylist()
        pcm = [np.asarray(self._dataset.audio(self._dataset.examples[index])).tobytes() for index in indices]
        return self._stage(pa.table({"index": indices, "pcm": pa.array(pcm, pa.large_binary())}))


def cache_features(
    dataset: PreparedDataset, extractor_directory: Path, version: int = 0, on_progress: OnProgress | None = None
) -> FeatureCache:
    """Return a dataset's features by an extractor, computing them on Ray Data if they are not cached.

    Needs a running Ray. The dataset's folder must be writable, and the workers must see it under its path.

    Args:
        dataset: The tracks.
        extractor_directory: The extractor's checkpoint, or a captioner's.
        version: 0 for the tracks as they are; else which disturbed copy of the training tracks.
        on_progress: Told how many tracks are done, and of how many.

    Raises:
        DatasetError: The features are not cached and there is no audio to compute them from.
    """
    extractor = load_any_extractor(extractor_directory)
    cache = FeatureCache(dataset, extractor_digest(extractor), version)
    if cache.complete:
        return cache
    if version and not isinstance(extractor, Musicnn):
        raise DatasetError("disturbed copies are made of log-mels, which only musicnn reads")
    if not dataset.has_audio:
        raise DatasetError(
            f"{dataset.directory}: its features are another extractor's and it holds no audio; prepare it again with "
            f"`--extractor {extractor_directory}`"
        )
    import ray.data

    cpus, gpus = cluster_size()
    indices = [example.index for example in cache.examples]
    blocks = [
        pa.table({"index": indices[start : start + ROWS_PER_TASK]}) for start in range(0, len(indices), ROWS_PER_TASK)
    ]
    results = ray.data.from_arrow(blocks).map_batches(
        ExtractCached,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(str(dataset.directory.resolve()), str(extractor_directory.resolve())),
        fn_constructor_kwargs={"use_gpu": gpus > 0, "version": version},
        compute=ray.data.ActorPoolStrategy(size=gpus or max(1, min(cpus, len(blocks)))),
        num_gpus=1 if gpus else None,
    )

    def tracks() -> Iterator[tuple[int, np.ndarray]]:
        done = 0
        batch: Any  # a pyarrow.Table, as asked for
        for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
            done += batch.num_rows
            if on_progress is not None:
                on_progress(done, len(indices))
            for index, features in zip(batch["index"].to_pylist(), batch["features"], strict=True):
                yield index, np.frombuffer(features.as_buffer(), dtype="<f2").reshape(-1, extractor.feature_dim)

    cache.write(tracks())
    logger.info("features of %d tracks cached", len(indices))
    return cache
