"""Chunk features on Ray Data: of decoded tracks while preparing, and of a prepared dataset's cached audio."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from muscaps.audio import to_chunks
from muscaps.inference import prepare_extractor
from muscaps.models.musicnn import Musicnn
from muscaps.training.augmentation import augmented_chunks
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.pretrained_extractor import load_any_extractor
from muscaps.training.waveform_augmentation import disturbed_waveform
from pipeline.cluster.session import cluster_size

logger = logging.getLogger(__name__)

ROWS_PER_TASK = 8

OnProgress = Callable[[int, int], None]
"""Called with the number of tracks done, and their total."""


class ExtractFeatures:
    """Adds chunk features to batches of decoded tracks, with an extractor that is loaded once."""

    def __init__(
        self, directory: str, *, keep_audio: bool, use_gpu: bool = False, threads: int = 1, version: int = 0
    ) -> None:
        """Load the extractor of an extractor or captioner checkpoint.

        Args:
            directory: The checkpoint.
            keep_audio: Whether to keep the PCM in the output.
            use_gpu: Whether a GPU is reserved for this.
            threads: CPU threads.
            version: 0 for the tracks as they are; else the number of the augmented copy, which with `index` seeds it.
        """
        torch.set_num_threads(threads)
        self._device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        self._batch = 256 if self._device == "cuda" else 4  # a CPU's cache holds a small batch only
        self._extractor = prepare_extractor(load_any_extractor(Path(directory))).to(self._device)
        self._keep_audio, self._version = keep_audio, version

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Add `features`, float16 as binary; null where decoding failed."""
        rows: list[bytes | None] = []
        for index, pcm in enumerate(batch["pcm"]):
            if not pcm.is_valid:
                rows.append(None)
                continue
            samples = np.frombuffer(pcm.as_buffer(), dtype="<i2")
            seed = (self._version, batch["index"][index].as_py()) if self._version else None
            rows.append(self._features(samples, seed).astype("<f2").tobytes())
        batch = batch.append_column("features", pa.array(rows, pa.large_binary()))
        return batch if self._keep_audio else batch.drop_columns(["pcm"])

    @torch.inference_mode()
    def _features(self, samples: np.ndarray, seed: tuple[int, int] | None) -> np.ndarray:
        """Compute chunk features of a track, augmented if a seed is given: int16 (samples,) -> (chunks, feature)."""
        on_log_mels = isinstance(
            self._extractor, Musicnn
        )  # others read spectrograms that the augmentation does not know
        if seed is not None and not on_log_mels:
            waveform = (samples / 32_768).astype(np.float32)
            samples = (disturbed_waveform(waveform, seed) * 32_767).astype(np.int16)
        chunks = torch.from_numpy(to_chunks(samples, self._extractor.chunk_samples).copy())
        parts = torch.split(chunks, self._batch)
        spectrograms = [self._extractor.spectrogram(part.to(self._device).float() / 32_768) for part in parts]
        if seed is not None and on_log_mels:
            augmented = augmented_chunks(torch.cat(spectrograms).cpu(), seed).to(self._device)
            spectrograms = list(torch.split(augmented, self._batch))
        features = [self._extractor.from_spectrogram(part).cpu() for part in spectrograms]
        return np.asarray(torch.cat(features).numpy())


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
        version: 0 for the tracks as they are; else the number of an augmented copy of the training tracks.
        on_progress: Called with the number of tracks done, and their total.

    Raises:
        DatasetError: The features are not cached and there is no audio to compute them from.
    """
    extractor = load_any_extractor(extractor_directory)
    cache = FeatureCache(dataset, extractor_digest(extractor), version)
    if cache.complete:
        return cache
    if not dataset.has_audio:
        raise DatasetError(
            f"{dataset.directory}: its features are another extractor's and it holds no audio; prepare it again with "
            f"`--extractor {extractor_directory}`"
        )
    cache.write(
        _cached_track_features(cache, dataset, extractor_directory, version, extractor.feature_dim, on_progress)
    )
    logger.info("features of %d tracks cached", len(cache.examples))
    return cache


def _cached_track_features(
    cache: FeatureCache,
    dataset: PreparedDataset,
    extractor_directory: Path,
    version: int,
    feature_dim: int,
    on_progress: OnProgress | None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Compute the features of a cache's examples on Ray Data: index and (chunks, feature), in any order."""
    import ray.data

    cpus, gpus = cluster_size()
    indices = [example.index for example in cache.examples]
    starts = range(0, len(indices), ROWS_PER_TASK)
    blocks = [pa.table({"index": indices[start : start + ROWS_PER_TASK]}) for start in starts]
    results = ray.data.from_arrow(blocks).map_batches(
        ExtractCached,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(str(dataset.directory.resolve()), str(extractor_directory.resolve())),
        fn_constructor_kwargs={"use_gpu": gpus > 0, "version": version},
        compute=ray.data.ActorPoolStrategy(size=gpus or max(1, min(cpus, len(blocks)))),
        num_gpus=1 if gpus else None,
    )
    done = 0
    batch: Any  # a pyarrow.Table
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
        done += batch.num_rows
        if on_progress is not None:
            on_progress(done, len(indices))
        for index, features in zip(batch["index"].to_pylist(), batch["features"], strict=True):
            yield index, np.frombuffer(features.as_buffer(), dtype="<f2").reshape(-1, feature_dim)
