"""Small datasets to train on: pairs with features, clips with tags."""

from pathlib import Path

import numpy as np

from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.writer import DatasetWriter

EXTRACTOR = ExtractorConfig(num_channels=2, frontend_scale=0.02)


MODEL = ModelConfig(
    extractor=EXTRACTOR,
    word_embedding_dim=12,
    audio_embedding_dim=32,
    hidden_dim=32,
    attention_dim=8,
    dropout=0.25,
)


INSTRUMENTS = ("piano", "guitar", "drums", "strings", "flute", "harp", "brass", "organ")


MOODS = ("slow", "fast", "bright", "dark")


SMALL = ExtractorConfig(num_channels=4, frontend_scale=0.04)


def caption_of(index: int) -> str:
    return f"a {MOODS[index // 8 % 4]} tune for {INSTRUMENTS[index % 8]} and {INSTRUMENTS[(index + 3) % 8]}"


def new_extractor_dim() -> int:
    from muscaps.models.architectures import build_extractor

    return build_extractor(EXTRACTOR).feature_dim


def write_dataset(directory: Path, num_train: int = 16, num_validation: int = 6, audio_seconds: float = 0) -> Path:
    """Features that tell the pairs apart, and captions that go with them."""
    rng = np.random.default_rng(0)
    writer = DatasetWriter(directory)
    pairs = []
    for index in range(num_train + num_validation):
        name = f"t{index}"
        features = rng.normal(size=(1 + index % 3, new_extractor_dim())).astype(np.float32)
        audio = None
        if audio_seconds:
            audio = (3000 * rng.standard_normal(int(audio_seconds * 16_000))).astype(np.int16)
        writer.store(name, features=features, audio=audio)
        text = caption_of(index)
        captions = (text, f"{text} indeed") if index % 2 else (text,)
        split = "train" if index < num_train else "validation"
        pairs.append(Pair(track_id=name, uri=name, captions=captions, split=split))
    writer.finish(pairs, min_count=1)
    return directory


def write_tagged(directory: Path, count: int = 24) -> Path:
    """Noise bursts and low tones, alone or together, 4 s each."""
    rng = np.random.default_rng(0)
    time = np.arange(4 * 16_000) / 16_000
    writer, pairs = DatasetWriter(directory), []
    for index in range(count):
        tags = [("hat",), ("kick",), ("hat", "kick"), ("kick",)][index % 4]
        signal = np.zeros(len(time))
        if "hat" in tags:
            signal += 0.2 * rng.standard_normal(len(time)) * np.exp(-30 * (time % 0.25))
        if "kick" in tags:
            signal += 0.5 * np.sin(2 * np.pi * 80 * time) * np.exp(-10 * (time % 0.5))
        writer.store(str(index), audio=(32_000 * signal.clip(-1, 1)).astype(np.int16))
        split = "validation" if index >= count - 8 else "train"
        pairs.append(Pair(track_id=str(index), uri="", captions=("a drum loop",), tags=tags, split=split))
    writer.finish(pairs, min_count=1)
    return directory
