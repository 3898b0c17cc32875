"""Checkpoints: a directory of weights, model card and vocabulary, saved and loaded together.

`model.safetensors` holds the weights, `model_card.json` everything needed to rebuild the model and to assess
it, `vocabulary.txt` the words. Nothing is unpickled. An extractor's checkpoint is the same without words.
"""

import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from muscaps import __version__
from muscaps.config import LOG_MEL, AudioConfig, ExtractorConfig, ModelConfig
from muscaps.models.architectures import build_captioner, build_extractor
from muscaps.models.caption_model import CaptionNetwork
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.tagger import TagHeads
from muscaps.vocabulary import Vocabulary

FORMAT_VERSION = 1
TAGGER_PREFIX = "tagger."
"""Start of the names of the tag heads' weights."""
WEIGHTS, CARD, WORDS = "model.safetensors", "model_card.json", "vocabulary.txt"
BUNDLED = Path(__file__).parent / "checkpoints" / "default"
"""The captioner shipped with the package."""
MAX_CARD_BYTES = 16 * 1024**2  # a card of unknown origin is read whole; ours have a few kilobytes
MAX_WEIGHT_BYTES = 4 * 1024**3


def checkpoint_path(name: Path | str) -> Path:
    """Return the directory of a checkpoint; `bundled` is the one that is part of the package."""
    return BUNDLED if str(name) == "bundled" else Path(name)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read; the message names the file and what does not fit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A captioner as loaded from disk."""

    model: CaptionNetwork
    vocabulary: Vocabulary
    audio_config: AudioConfig
    model_config: ModelConfig
    card: dict[str, Any]
    """The model card as written."""
    model_id: str
    """Name plus the first 12 hex digits of the SHA-256 over weights and card."""
    tagger: TagHeads | None = None
    """Calibrated tag heads, where the checkpoint has them."""


def is_computed(name: str) -> bool:
    """Return whether a state-dict entry is computed from constants (windows, mel filters), not learned."""
    return ".spectrogram." in f".{name}" and not name.endswith(".quality")


def learned_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the entries of a state dict that a checkpoint stores."""
    return {name: value.contiguous() for name, value in module.state_dict().items() if not is_computed(name)}


def model_id(directory: Path, name: str) -> str:
    """Return a checkpoint's identity: its name and a digest over weights and card."""
    digest = hashlib.sha256()
    for part in (WEIGHTS, CARD):
        digest.update((directory / part).read_bytes())
    return f"{name}-{digest.hexdigest()[:12]}"


def _write(directory: Path, weights: Mapping[str, Tensor], card: Mapping[str, Any], words: Vocabulary | None) -> None:
    """Write a checkpoint as a whole: in a directory beside it, which is then renamed."""
    directory = directory.resolve()
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        save_file({name: value.detach().cpu() for name, value in weights.items()}, beside / WEIGHTS)
        (beside / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if words is not None:
            words.save(beside / WORDS)
        beside.chmod(0o755)
        for part in beside.iterdir():
            part.chmod(0o644)  # safetensors makes files that only their owner can read
        old = None
        if directory.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent)) / "old"
            os.replace(directory, old)
        os.replace(beside, directory)
        if old is not None:
            shutil.rmtree(old.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def save_checkpoint(
    directory: Path,
    model: CaptionNetwork,
    vocabulary: Vocabulary,
    *,
    name: str,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    departures: Sequence[str] = (),
    tagger: TagHeads | None = None,
    sections: Mapping[str, Any] | None = None,
) -> str:
    """Write a captioner.

    Args:
        directory: Where; an existing checkpoint there is replaced as a whole.
        model: The captioner.
        vocabulary: Its words.
        name: Short name, the first part of its `model_id`.
        training: What it was trained on and how: data, digest, seeds, commands.
        metrics: What was measured, and on what.
        departures: Known departures from the paper.
        tagger: Tag heads that read the same features.
        sections: Further sections of the card, e.g. `decoding` or `notices`.

    Returns:
        The new checkpoint's `model_id`.
    """
    if tagger is not None and tagger.feature_dim != model.feature_extractor.feature_dim:
        raise ValueError(
            f"the tag heads read {tagger.feature_dim} features, the model {model.feature_extractor.feature_dim}"
        )
    if len(vocabulary) != model.config.vocabulary_size:
        raise ValueError(f"the vocabulary has {len(vocabulary)} words, the model {model.config.vocabulary_size}")
    card = {
        "format_version": FORMAT_VERSION,
        "kind": "captioner",
        "name": name,
        "model": asdict(model.config),
        "audio": asdict(AudioConfig(chunk_seconds=model.feature_extractor.chunk_seconds)),
        "vocabulary": WORDS,
        "training": dict(training),
        "metrics": dict(metrics),
        "departures": list(departures),
        "code_version": __version__,
        **(sections or {}),
    }
    weights = learned_weights(model)
    if tagger is not None:
        card["tagger"] = tagger.described()
        weights |= {f"{TAGGER_PREFIX}{key}": value for key, value in tagger.stored().items()}
    _write(directory, weights, card, vocabulary)
    return model_id(directory, name)


_WRITTEN_SECTIONS = frozenset(
    ("format_version", "kind", "name", "model", "audio", "vocabulary", "training", "metrics", "departures", "tagger")
)
"""Sections of a captioner's card that `save_checkpoint` writes from its other arguments."""


def further_sections(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a captioner's card that are the argument `sections` of `save_checkpoint`."""
    return {name: value for name, value in card.items() if name not in _WRITTEN_SECTIONS}


def save_extractor(
    directory: Path,
    extractor: FeatureExtractor,
    config: ExtractorConfig,
    *,
    name: str,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    head: Mapping[str, Tensor] | None = None,
    tags: Sequence[str] = (),
) -> str:
    """Write a pre-trained extractor and, where given, the tagging head trained on top of it.

    Returns:
        Its `model_id`.
    """
    card = {
        "format_version": FORMAT_VERSION,
        "kind": "extractor",
        "name": name,
        "extractor": asdict(config),
        "audio": asdict(AudioConfig(chunk_seconds=extractor.chunk_seconds)),
        "tags": list(tags),
        "training": dict(training),
        "metrics": dict(metrics),
        "code_version": __version__,
    }
    weights = {f"extractor.{key}": value for key, value in learned_weights(extractor).items()}
    weights |= {f"head.{key}": value.contiguous() for key, value in (head or {}).items()}
    _write(directory, weights, card, None)
    return model_id(directory, name)


def save_log_mel_extractor(directory: Path) -> Path:
    """Write the bare front end as an extractor checkpoint, if it is not there; return `directory`.

    The commands that cache features and train on them take a checkpoint; this one holds no weights.
    """
    if not (directory / CARD).exists():
        save_extractor(directory, build_extractor(LOG_MEL), LOG_MEL, name="log-mel", training={}, metrics={})
    return directory


def read_card(directory: Path, kind: str) -> dict[str, Any]:
    """Read and check a model card.

    Raises:
        CheckpointError: There is none, or it is not of this `kind` and version.
    """
    path = directory / CARD
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: no such checkpoint directory")
    if not path.is_file():
        raise CheckpointError(f"{directory}: not a checkpoint, it has no {CARD}")
    if path.stat().st_size > MAX_CARD_BYTES:
        raise CheckpointError(f"{path}: {path.stat().st_size} bytes is too large for a model card")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(card, dict) or card.get("kind") != kind:
        found = card.get("kind") if isinstance(card, dict) else type(card).__name__
        raise CheckpointError(f"{path}: expected the card of a {kind}, found {found!r}")
    if card.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format_version {card.get('format_version')!r}, but muscaps {__version__} reads {FORMAT_VERSION}"
        )
    return card


def _read_weights(directory: Path) -> dict[str, Tensor]:
    path = directory / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{directory}: not a checkpoint, it has no {WEIGHTS}")
    size = path.stat().st_size
    if size > MAX_WEIGHT_BYTES:
        raise CheckpointError(f"{path}: {size} bytes is more than the {MAX_WEIGHT_BYTES} muscaps will load")
    try:
        return load_file(path)
    except (SafetensorError, OSError, struct.error) as error:
        raise CheckpointError(f"{path}: damaged or not safetensors ({error})") from error


def fill(module: nn.Module, weights: Mapping[str, Tensor], origin: str) -> None:
    """Load learned weights into a module; all must fit.

    Raises:
        CheckpointError: Naming what is missing, left over or of another shape.
    """
    expected = {name: value for name, value in module.state_dict().items() if not is_computed(name)}
    problems = [f"missing {name}" for name in expected if name not in weights]
    problems += [f"unexpected {name}" for name in weights if name not in expected]
    problems += [
        f"{name} is {tuple(weights[name].shape)}, the model needs {tuple(value.shape)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if not problems:
        problems = [f"{name} holds NaN or infinity" for name in expected if not bool(weights[name].isfinite().all())]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"{origin}: the weights do not fit: {'; '.join(problems[:5])}{more}")
    module.load_state_dict(dict(weights), strict=False)  # only the computed entries are absent


def _configs(card: Mapping[str, Any], path: Path) -> tuple[ModelConfig, AudioConfig]:
    try:
        fields = dict(card["model"])
        extractor = ExtractorConfig.from_card(fields.pop("extractor"))
        return ModelConfig(extractor=extractor, **fields), AudioConfig(**card["audio"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path / CARD}: the model's configuration does not read: {error}") from error


def load_checkpoint(directory: Path | str) -> Checkpoint:
    """Read a captioner, in evaluation mode, on the CPU.

    Raises:
        CheckpointError: Naming the file and what is wrong with it.
    """
    directory = Path(directory)
    card = read_card(directory, "captioner")
    model_config, audio_config = _configs(card, directory)
    weights = _read_weights(directory)
    head_weights = {key: weights.pop(key) for key in list(weights) if key.startswith(TAGGER_PREFIX)}
    _check_sizes(model_config, weights, directory)
    try:
        vocabulary = Vocabulary.load(directory / WORDS)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{directory / WORDS}: {error}") from error
    if len(vocabulary) != model_config.vocabulary_size:
        raise CheckpointError(
            f"{directory / WORDS}: {len(vocabulary)} words, but {CARD} says {model_config.vocabulary_size}"
        )
    model = build_captioner(model_config)
    fill(model, weights, str(directory / WEIGHTS))
    tagger = _tag_heads(card, head_weights, directory)
    if tagger is not None and tagger.feature_dim != model.feature_extractor.feature_dim:
        raise CheckpointError(f"{directory}: the tag heads read {tagger.feature_dim} features, the model others")
    return Checkpoint(
        model=model.eval(),
        vocabulary=vocabulary,
        audio_config=audio_config,
        model_config=model_config,
        card=card,
        model_id=model_id(directory, str(card["name"])),
        tagger=tagger,
    )


def _tag_heads(card: Mapping[str, Any], weights: Mapping[str, Tensor], directory: Path) -> TagHeads | None:
    """Return the checkpoint's tag heads; None where neither card nor weights have any."""
    if "tagger" not in card and not weights:
        return None
    try:
        named = {key.removeprefix(TAGGER_PREFIX): value for key, value in weights.items()}
        return TagHeads.from_card(card["tagger"], named)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{directory}: the tag heads do not read: {error}") from error


def _check_sizes(config: ModelConfig, weights: Mapping[str, Tensor], directory: Path) -> None:
    """Reject a card whose sizes do not match the weights, before memory is allocated for them."""
    if config.fusion == "dcase":
        output = weights.get("output.weight")
        if output is None or tuple(output.shape) != (config.vocabulary_size, config.hidden_dim):
            raise CheckpointError(f"{directory}: hidden_dim={config.hidden_dim} does not match output.weight")
        return
    embedding = weights.get("word_embedding.weight")
    claimed = (config.vocabulary_size, config.word_embedding_dim)
    if embedding is None or tuple(embedding.shape) != claimed:
        found = None if embedding is None else tuple(embedding.shape)
        raise CheckpointError(f"{directory}: the card claims word vectors of {claimed}, the weights hold {found}")
    hidden = weights.get("decoder.weight_hh")
    if hidden is None or tuple(hidden.shape) != (4 * config.hidden_dim, config.hidden_dim):
        raise CheckpointError(f"{directory}: hidden_dim={config.hidden_dim} does not match decoder.weight_hh")
    largest = max((value.numel() for value in weights.values()), default=0)
    if config.extractor.num_channels**2 > max(largest, 1) * 64 or config.attention_dim > max(largest, 1):
        raise CheckpointError(f"{directory}: the card claims an extractor far larger than its weights")


def load_extractor(
    directory: Path | str,
) -> tuple[FeatureExtractor, ExtractorConfig, dict[str, Any], dict[str, Tensor]]:
    """Read a pre-trained extractor.

    Returns:
        The network in evaluation mode, its configuration, its card, and the tagging head's weights.

    Raises:
        CheckpointError: Naming the file and what is wrong with it.
    """
    directory = Path(directory)
    card = read_card(directory, "extractor")
    try:
        config = ExtractorConfig.from_card(card["extractor"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{directory / CARD}: the extractor's configuration does not read: {error}") from error
    weights = _read_weights(directory)
    body = {key.removeprefix("extractor."): value for key, value in weights.items() if key.startswith("extractor.")}
    head = {key.removeprefix("head."): value for key, value in weights.items() if key.startswith("head.")}
    with torch.no_grad():
        extractor = build_extractor(config)
        fill(extractor, body, str(directory / WEIGHTS))
    return extractor.eval(), config, card, head
