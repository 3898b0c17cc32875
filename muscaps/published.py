"""Published weights: MusCaps experiments and bare extractors, read once and saved as a checkpoint.

A published experiment folder holds `config.yaml`, `vocab.json` (token frequencies, in order) and
`best_model.pth.tar` with a `state_dict`; a published extractor is one `best_model.pth`. They are the only
files muscaps ever unpickles, with `weights_only=True`. Names of the published parameters are mapped to ours;
all of them must fit, and the error names those that do not.
"""

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from torch import Tensor

from muscaps.checkpoint import CheckpointError, fill
from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.models.architectures import build_captioner, build_extractor
from muscaps.models.caption_model import CaptionNetwork
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.vocabulary import Vocabulary

EXPERIMENT_FILES = ("config.yaml", "vocab.json", "best_model.pth.tar")

_MUSICNN_NAMES = (
    (r"spec_bn\.", "spectrogram_norm."),
    (r"layers\.([01])\.", r"vertical.\1."),
    (r"layers\.2\.", "horizontal.0."),
    (r"layers\.3\.", "horizontal.1."),
    (r"layers\.4\.", "horizontal.2."),
    (r"layer1\.", "temporal.0."),
    (r"layer2\.", "temporal.1."),
    (r"layer3\.", "temporal.2."),
    (r"(.*)\.bn\.", r"\1.norm."),
)
_HCNN_NAMES = (
    (r"hstft\.bw_Q", "spectrogram.quality"),
    (r"hstft_bn\.", "spectrogram_norm."),
    *((rf"layer{i + 1}\.", f"blocks.{i}.") for i in range(7)),
    (r"(.*)\.bn\.", r"\1.norm."),
    (r"(.*)\.bn_([12])\.", r"\1.norm_\2."),
)
_CAPTIONER_NAMES = (
    (r"batch_norm\.", "audio_norm."),
    (r"text_encoder\.word_embeddings\.", "word_embedding."),
    (r"encoder\.lstm\.(.*)_l0", r"encoder.\1"),
    (r"attention\.audio_projection\.", "attention.project_audio."),
    (r"attention\.query_projection\.", "attention.project_hidden."),
    (r"attention\.linear\.", "attention.score."),
    (r"decoder\.lstm_cell\.", "decoder."),
    (r"decoder\.dense\.weight_g", "output.length"),
    (r"decoder\.dense\.weight_v", "output.direction"),
    (r"decoder\.dense\.", "output."),
)
_COMPUTED = re.compile(r"spec\.spectrogram\.window|spec\.mel_scale\.fb|hstft\.spec\.window")
_CLASSIFIER = re.compile(r"(dense1|dense2|bn)\.")


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(rf"^{pattern}", replacement, name)
    return name


def extractor_config(weights: Mapping[str, Tensor], origin: str) -> ExtractorConfig:
    """Recognise the extractor that published weights belong to.

    Raises:
        CheckpointError: They belong to neither musicnn nor Harmonic CNN.
    """
    if "hstft.bw_Q" in weights and "layer1.conv.weight" in weights:
        return ExtractorConfig(name="hcnn", num_channels=len(weights["layer1.conv.weight"]))
    if "layers.0.conv.weight" in weights and "layer1.conv.weight" in weights:
        return ExtractorConfig(name="musicnn", num_channels=len(weights["layer1.conv.weight"]))
    raise CheckpointError(
        f"{origin}: neither a published musicnn (layers.0.conv.weight) nor a Harmonic CNN (hstft.bw_Q); "
        f"it holds {', '.join(list(weights)[:4]) or 'nothing'}..."
    )


def load_extractor_weights(extractor: FeatureExtractor, weights: Mapping[str, Tensor], origin: str) -> None:
    """Fill an extractor from published names; the classification layers are left aside."""
    rules = _HCNN_NAMES if "hstft.bw_Q" in weights else _MUSICNN_NAMES
    kept = {name: value for name, value in weights.items() if not _COMPUTED.match(name) and not _CLASSIFIER.match(name)}
    fill(extractor, {_renamed(name, rules): value for name, value in kept.items()}, origin)


def captioner_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published captioner's parameters, the extractor's left out."""
    return {
        _renamed(name, _CAPTIONER_NAMES): value
        for name, value in weights.items()
        if not name.startswith("audio_encoder.")
    }


def read_weights(path: Path) -> dict[str, Tensor]:
    """Unpickle a published weight file, tensors only.

    Raises:
        CheckpointError: The file is missing, truncated, not a torch file, or holds anything but weights.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: not read, it holds more than weights, or is not a torch file") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"{path}: truncated or not a torch weight file ({error})") from error
    weights = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise CheckpointError(f"{path}: holds no state dict of weights")
    return {str(name).removeprefix("module."): value for name, value in weights.items()}


def import_extractor(path: Path) -> tuple[FeatureExtractor, ExtractorConfig]:
    """Read a bare published extractor, `best_model.pth`.

    Raises:
        CheckpointError: Naming what did not fit.
    """
    weights = read_weights(path)
    config = extractor_config(weights, str(path))
    extractor = build_extractor(config)
    load_extractor_weights(extractor, weights, str(path))
    return extractor.eval(), config


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: not readable as YAML ({error})") from error
    model = config.get("model_config") if isinstance(config, Mapping) else None
    if not isinstance(model, Mapping):
        raise CheckpointError(f"{path}: has no model_config section; is this a MusCaps experiment?")
    return dict(model)


def _read_vocabulary(path: Path) -> Vocabulary:
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(counts, Mapping) or not all(isinstance(count, int) for count in counts.values()):
        raise CheckpointError(f"{path}: expected token frequencies, an object of word: count")
    return Vocabulary.from_counts(cast(Mapping[str, int], counts))


def import_experiment(folder: Path) -> tuple[CaptionNetwork, Vocabulary, dict[str, Any]]:
    """Read a published experiment folder.

    Args:
        folder: Holds `config.yaml`, `vocab.json` and `best_model.pth.tar`.

    Returns:
        The captioner in evaluation mode, its vocabulary, and the published model settings.

    Raises:
        CheckpointError: Naming the file and what did not fit.
    """
    missing = [name for name in EXPERIMENT_FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder}: not a published experiment, it lacks {', '.join(missing)}")
    settings = _read_config(folder / "config.yaml")
    name = settings.get("model_name")
    fusion = "attention" if name == "cnn_attention_lstm" else settings.get("fusion")
    if name not in ("cnn_lstm_caption", "cnn_attention_lstm") or fusion not in ("early", "late", "attention"):
        raise CheckpointError(
            f"{folder / 'config.yaml'}: model_name {name!r} with fusion {settings.get('fusion')!r} is not supported; "
            "expected cnn_lstm_caption (early or late) or cnn_attention_lstm"
        )
    vocabulary = _read_vocabulary(folder / "vocab.json")
    path = folder / "best_model.pth.tar"
    weights = read_weights(path)
    model = captioner_from_published(weights, fusion, vocabulary, str(path))
    expected = settings.get("feature_extractor_type")
    if expected not in (None, model.config.extractor.name):
        raise CheckpointError(
            f"{folder}: config.yaml says {expected!r}, the weights are {model.config.extractor.name}'s"
        )
    return model, vocabulary, settings


def captioner_from_published(
    weights: Mapping[str, Tensor], fusion: Any, vocabulary: Vocabulary, origin: str
) -> CaptionNetwork:
    """Build a captioner from a published state dict.

    Raises:
        CheckpointError: Naming what did not fit.
    """
    prefix = "audio_encoder.feature_extractor."
    audio = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    config = extractor_config(audio, origin)
    embedding = weights.get("text_encoder.word_embeddings.weight")
    hidden = weights.get("audio_linear.weight")
    if embedding is None or hidden is None:
        raise CheckpointError(f"{origin}: no text_encoder.word_embeddings.weight or audio_linear.weight")
    if len(embedding) != len(vocabulary):
        raise CheckpointError(
            f"{origin}: {len(embedding)} word vectors, but vocab.json gives {len(vocabulary)} words seen twice or "
            "more, special tokens included; the files belong to different experiments"
        )
    attention = weights.get("attention.linear.weight")
    model_config = ModelConfig(
        extractor=config,
        fusion=fusion,
        vocabulary_size=len(vocabulary),
        word_embedding_dim=embedding.shape[1],
        audio_embedding_dim=len(hidden),
        hidden_dim=len(hidden),
        attention_dim=ModelConfig().attention_dim if attention is None else attention.shape[1],
    )
    model = build_captioner(model_config)
    load_extractor_weights(model.feature_extractor, audio, origin)
    extractor = {
        f"feature_extractor.{name}": value
        for name, value in model.feature_extractor.state_dict().items()
        if not name.startswith("spectrogram.") or name.endswith("quality")
    }
    fill(model, captioner_weights(weights) | extractor, origin)
    return model.eval()
