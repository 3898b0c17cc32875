"""Settings of captioner training."""

import pytest

from muscaps.training.captioner_config import CaptionTrainingConfig


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="extractor_mode must be"):
        CaptionTrainingConfig(extractor_mode="warm")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs decode_every=1"):
        CaptionTrainingConfig(monitor="cider", decode_every=2)
