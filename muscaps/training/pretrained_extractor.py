"""The audio network of an extractor or captioner checkpoint."""

import json
from pathlib import Path

from muscaps.checkpoint import CARD, CheckpointError, load_checkpoint, load_extractor
from muscaps.config import ExtractorConfig
from muscaps.models.feature_extractor import FeatureExtractor


def _kind_of(directory: Path) -> str:
    try:
        return str(json.loads((directory / CARD).read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{directory}: not a checkpoint: no readable {CARD}") from error


def load_any_extractor(directory: Path) -> FeatureExtractor:
    """Load the audio network of an extractor or captioner checkpoint.

    Raises:
        CheckpointError: The directory has no such checkpoint.
    """
    if _kind_of(directory) == "captioner":
        return load_checkpoint(directory).model.feature_extractor
    return load_extractor(directory)[0]


def extractor_config_of(directory: Path) -> ExtractorConfig:
    """Return the configuration of an extractor, or of a captioner's extractor.

    Raises:
        CheckpointError: The directory has no such checkpoint.
    """
    if _kind_of(directory) == "captioner":
        return load_checkpoint(directory).model_config.extractor
    return load_extractor(directory)[1]
