"""Log-mel spectrograms of a dataset's clips, computed once and mapped from disk."""

import logging
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import torch

from muscaps.models.spectrograms import N_MELS, LogMel, num_frames
from muscaps.training.dataset.layout import CACHES
from muscaps.training.dataset.pairs import DatasetError
from muscaps.training.dataset.reader import PreparedDataset

logger = logging.getLogger(__name__)

LOG_MELS = f"{CACHES}/log_mels.f16"


def log_mels(dataset: PreparedDataset) -> tuple[np.ndarray, dict[int, tuple[int, int]]]:
    """Return every clip's log-mel spectrogram, computed on the first call and mapped from disk afterwards.

    Returns:
        Decibels of all clips, concatenated, float16, (frames, mels); and a map from the index of an example to its
        first frame and number of frames.

    Raises:
        DatasetError: The dataset has no audio.
    """
    examples = [example for example in dataset.examples if example.audio_start >= 0]
    if not examples:
        raise DatasetError(f"{dataset.directory}: has no audio; prepare it again with `--audio`")
    places, total = {}, 0
    for example in examples:
        frames = num_frames(example.num_samples)
        places[example.index] = (total, frames)
        total += frames
    path = dataset.directory / LOG_MELS
    if not path.exists() or path.stat().st_size != total * N_MELS * 2:
        transform = LogMel()
        path.parent.mkdir(exist_ok=True)
        # A unique name, because several workers may write the file at once; each replaces the target as a whole.
        with NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as stream, torch.no_grad():
            for example in examples:
                waveform = torch.from_numpy(dataset.audio(example).astype(np.float32) / 32_768)
                decibels = transform(waveform[None])[0, 0].T
                stream.write(decibels.numpy().astype("<f2").tobytes())
        Path(stream.name).replace(path)
        logger.info("log-mels of %d clips written to %s", len(examples), path)
    return np.memmap(path, dtype="<f2", mode="r").reshape(-1, N_MELS), places
