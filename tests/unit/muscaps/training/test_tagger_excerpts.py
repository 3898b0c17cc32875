"""Log-mels of a dataset and excerpts cut from them."""

from pathlib import Path

import numpy as np
import torch

from muscaps.models.musicnn import Musicnn
from muscaps.training.augmentation import NO_AUGMENTATION
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.log_mel_cache import LOG_MELS, log_mels
from muscaps.training.tagger_excerpts import MelExcerpts
from tests.training_data import write_tagged


def test_log_mels_are_the_extractors_and_are_computed_once(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path, 12))
    mels, places = log_mels(dataset)
    example = dataset.examples[3]
    start, frames = places[example.index]
    waveform = torch.from_numpy(dataset.audio(example).astype(np.float32) / 32_768)
    expected = Musicnn(2, 0.02).spectrogram(waveform[None])[0, 0].T
    assert np.allclose(mels[start : start + frames], expected.numpy(), atol=0.07)  # float16 at 100 dB
    before = (tmp_path / LOG_MELS).stat().st_mtime_ns
    log_mels(PreparedDataset(tmp_path))
    assert (tmp_path / LOG_MELS).stat().st_mtime_ns == before


def test_undisturbed_excerpts_are_cut_from_the_clip(tmp_path: Path) -> None:
    dataset = PreparedDataset(write_tagged(tmp_path, 12))
    source = MelExcerpts(dataset, 48_000, NO_AUGMENTATION)
    examples = dataset.examples[:2]
    generators = [np.random.default_rng(i) for i in range(2)]
    spectrogram, mixed = source.training_batch(examples, examples[::-1], generators)
    assert spectrogram.shape == (2, 1, 96, 188)
    assert not mixed.any()
    mels, places = log_mels(dataset)
    start, frames = places[0]
    windows = [mels[start + o : start + o + 188].T for o in range(frames - 188)]
    assert min(float(np.abs(spectrogram[0, 0].numpy() - window).max()) for window in windows) < 1e-3
