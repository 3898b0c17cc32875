"""Fine-tuned weights blended with those before training, and the choice of the blend.

After fine-tuning on few pairs, the captioner claims more than it can know. Weights between those before and after
training (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022) keep part of both. The blend is chosen on the
tracks of the training and validation split, without their facts being known: a claim is confirmed if a caption of the
dataset or the caption before training makes it, too.

What blends cost, measured on 40 pairs: docs/training.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from muscaps.evaluation.word_pairs import new_word_pairs, word_pairs
from muscaps.lexicon import claims

BLENDS = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the training that are tried."""
MIN_CONFIRMED = 0.95
"""Smallest share of claims that are confirmed."""
MAX_NEW_PAIRS = 0.05
"""Largest share of word pairs that occur in no caption of the dataset and none before training."""


@dataclass(frozen=True, kw_only=True)
class BlendTrial:
    """Captions with one blend."""

    blend: float
    """Share of the training: 0 is the captioner before it, 1 after it."""
    confirmed_claims: float
    """Share of the claims that a caption of the dataset or the one before training makes; 1 without claims."""
    new_word_pairs: float
    """Share of the pairs of neighbouring words that occur in neither."""

    @property
    def acceptable(self) -> bool:
        """Whether facts and language are kept."""
        return self.confirmed_claims >= MIN_CONFIRMED and self.new_word_pairs <= MAX_NEW_PAIRS


def blended_weights(before: Mapping[str, Tensor], after: Mapping[str, Tensor], blend: float) -> dict[str, Tensor]:
    """Return `blend` times the weights after training plus the rest of those before; integers are those after it."""
    return {
        name: before[name] + blend * (value - before[name]) if value.is_floating_point() else value
        for name, value in after.items()
    }


def try_blend(
    blend: float, captions: Sequence[str], before: Sequence[str], references: Sequence[Sequence[str]]
) -> BlendTrial:
    """Judge the captions of some tracks.

    Args:
        blend: The blend that gave them.
        captions: One per track.
        before: Those before training.
        references: Those of the dataset.
    """
    confirmed = total = 0
    for caption, old, texts in zip(captions, before, references, strict=True):
        known = _claimed(old).union(*map(_claimed, texts))
        confirmed += len(_claimed(caption) & known)
        total += len(_claimed(caption))
    known_pairs = word_pairs([*before, *(text for texts in references for text in texts)])
    return BlendTrial(
        blend=blend,
        confirmed_claims=confirmed / total if total else 1.0,
        new_word_pairs=sum(new_word_pairs(text, known_pairs) for text in captions)
        / max(1, sum(len(word_pairs([text])) for text in captions)),
    )


def choose_blend(trial: Callable[[float], BlendTrial]) -> tuple[float, list[BlendTrial]]:
    """Return the largest blend up to which all are acceptable, at least the smallest, and the trials."""
    chosen, trials = BLENDS[0], []
    for blend in BLENDS:
        trials.append(trial(blend))
        if not trials[-1].acceptable:
            break
        chosen = blend
    return chosen, trials


def _claimed(text: str) -> set[tuple[str, str]]:
    return {(claim.layer, claim.tag) for claim in claims(text)}
