"""A captioner that knows a track by its tag logits, and the same captioner reading audio features.

With few real tracks, a captioner that may read every feature learns the tracks and not what makes them dark or bright.
It is therefore trained on the logits of tag heads (about a hundred numbers a chunk) that were fitted without the
track's fold, so that it meets them as uncertain as on new tracks. Tag heads are linear, and everything a captioner does
first with features is linear too; so the product of both is an ordinary `MusCaps` on the extractor's features.

This departs from the paper, whose captioner learns its projection of the features from captions alone.
"""

from dataclasses import replace

import torch
from torch import Tensor

from muscaps.config import ExtractorConfig
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.muscaps import MusCaps


class TagLogits(FeatureExtractor):
    """Stands in for an extractor whose features are tag logits that were computed before."""

    chunk_seconds = 3.0

    def __init__(self, num_tags: int) -> None:
        super().__init__()
        self.feature_dim = num_tags

    def from_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """Refuse: there is no network here."""
        raise NotImplementedError("tag logits are computed beforehand")


@torch.no_grad()
def reading_features(
    model: MusCaps, weight: Tensor, bias: Tensor, extractor: FeatureExtractor, config: ExtractorConfig
) -> MusCaps:
    """Return the captioner that reads an extractor's features, equal to one that reads linear functions of them.

    Args:
        model: Trained on `weight @ feature + bias` of each chunk.
        weight: (inputs, feature).
        bias: (inputs,).
        extractor: The network whose features are read.
        config: Its configuration.

    Returns:
        A captioner in evaluation mode; the given one is not changed.
    """
    whole = MusCaps(replace(model.config, extractor=config), extractor)
    state = model.state_dict()
    first = state["audio_linear.weight"]
    state["audio_linear.weight"] = first @ weight
    state["audio_linear.bias"] = state["audio_linear.bias"] + first @ bias
    if model.config.fusion == "attention":
        keys = state["attention.project_audio.weight"]
        state["attention.project_audio.weight"] = keys @ weight
        state["attention.project_audio.bias"] = state["attention.project_audio.bias"] + keys @ bias
        # Attention weights sum to 1, so an affine function of the chunks is one of the attended feature.
        attended = state["decoder.weight_ih"][:, : len(weight)]
        rest = state["decoder.weight_ih"][:, len(weight) :]
        state["decoder.weight_ih"] = torch.cat([attended @ weight, rest], dim=1)
        state["decoder.bias_ih"] = state["decoder.bias_ih"] + attended @ bias
    state |= {f"feature_extractor.{name}": value for name, value in extractor.state_dict().items()}
    whole.load_state_dict(state)
    return whole.eval()
