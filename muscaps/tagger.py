"""Tags of whole tracks with calibrated scores: linear heads on the mean of a track's chunk features.

A head gives the logit of one tag, e.g. instrument: strings. Its weights are those of a logistic regression whose input
standardisation and calibration (Platt scaling: an affine map of the logit) are multiplied into them, so that a score is
one product and one sigmoid. Scores are calibrated on real tracks that the heads were not trained on; the model card has
the reliability table.

Conventions: `muscaps.tags`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from muscaps.tags import Tag

Features = npt.NDArray[np.float32] | npt.NDArray[np.float16]


@dataclass(frozen=True, kw_only=True, eq=False)
class TagHeads:
    """The heads of a checkpoint."""

    names: tuple[tuple[str, str], ...]
    """Facet and tag of each head."""
    weight: Tensor
    """(heads, feature)."""
    bias: Tensor
    """(heads,)."""
    card: Mapping[str, Any]
    """What they were trained and calibrated on, reliability and attribution; becomes `tagger` in the model card."""

    def __post_init__(self) -> None:
        heads = len(self.names)
        if self.weight.ndim != 2 or len(self.weight) != heads or tuple(self.bias.shape) != (heads,):
            raise ValueError(
                f"{heads} tags need weights of ({heads}, feature) and ({heads},), "
                f"not {tuple(self.weight.shape)} and {tuple(self.bias.shape)}"
            )
        if len(set(self.names)) != heads:
            raise ValueError("a tag occurs twice in the tag heads")

    @property
    def feature_dim(self) -> int:
        """Width of the chunk features that the heads read."""
        return self.weight.shape[1]

    def logits(self, features: Sequence[Features]) -> npt.NDArray[np.float64]:
        """Return calibrated logits.

        Args:
            features: Tracks, (chunks, feature) each.

        Returns:
            (tracks, heads).

        Raises:
            ValueError: A track has no chunk, or features of another width.
        """
        for track in features:
            if track.ndim != 2 or len(track) == 0 or track.shape[1] != self.feature_dim:
                raise ValueError(f"tag heads need features of (chunks, {self.feature_dim}), not {track.shape}")
        if not features:
            return np.zeros((0, len(self.names)))
        weight, bias = self.weight.double().numpy(), self.bias.double().numpy()
        # Track by track: a matrix product over all of them could round a track by what shares its batch.
        return np.stack([weight @ track.astype(np.float64).mean(axis=0) + bias for track in features])

    def scores(self, features: Sequence[Features]) -> npt.NDArray[np.float64]:
        """Return calibrated probabilities, (tracks, heads)."""
        return 1 / (1 + np.exp(-self.logits(features)))

    def tags(self, features: Sequence[Features]) -> list[list[Tag]]:
        """Return every tag of every track, highest score first within a facet, in the order of the facets' heads."""
        order = {facet: place for place, facet in enumerate(dict.fromkeys(facet for facet, _ in self.names))}
        return [
            sorted(
                (
                    Tag(facet=facet, tag=tag, score=float(score))
                    for (facet, tag), score in zip(self.names, row, strict=True)
                ),
                key=lambda tag: (order[tag.facet], -tag.score),
            )
            for row in self.scores(features)
        ]

    def stored(self) -> dict[str, Tensor]:
        """Return the weights as a checkpoint stores them."""
        return {"weight": self.weight.float().contiguous(), "bias": self.bias.float().contiguous()}

    def described(self) -> dict[str, Any]:
        """Return the `tagger` section of a model card."""
        return {"tags": [list(name) for name in self.names], **self.card}

    @classmethod
    def from_card(cls, card: Mapping[str, Any], weights: Mapping[str, Tensor]) -> "TagHeads":
        """Put together what a checkpoint stores.

        Raises:
            ValueError: Names and weights do not fit.
        """
        if set(weights) != {"weight", "bias"}:
            raise ValueError(f"tag heads need weight and bias, not {', '.join(sorted(weights)) or 'nothing'}")
        if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
            raise ValueError("tag heads hold NaN or infinity")
        names = tuple((str(facet), str(tag)) for facet, tag in card["tags"])
        rest = {key: value for key, value in card.items() if key != "tags"}
        return cls(names=names, weight=weights["weight"], bias=weights["bias"], card=rest)
