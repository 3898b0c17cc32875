"""First words of captions, drawn by a number of the track, so that captions of similar tracks begin differently.

The most probable sentences of similar tracks have the same form. A captioner whose training captions have many forms
knows them all, but a search for the most probable caption uses only the first. So a few first words are drawn from the
captioner's own distribution, each begins a search, and the best caption of all searches wins.

The draw is no chance: a track's tag logits give its number, so the same audio gets the same caption everywhere.
Evidence can make a first word less probable and never more: a claim that the scores support is worth saying, not worth
beginning with.
"""

import torch
from torch import Tensor

from muscaps.decoding import WordGuide, allowed_words
from muscaps.models.caption_model import CaptionModel, EncodedAudio
from muscaps.vocabulary import SOS
from muscaps.word_constraints import WordConstraints


def track_numbers(logits: Tensor) -> Tensor:
    """Return a number from 0 to 1 for each track, from its tag logits.

    It is the fractional part of a fixed weighted sum. Of real tracks the sum has a standard deviation of 0.65, enough
    for even numbers; rounding changes it by less than 0.001.

    Args:
        logits: (tracks, tags), float64.
    """
    weights = torch.arange(1, logits.shape[1] + 1, dtype=torch.float64, device=logits.device).sin()
    numbers: Tensor = (logits.double() @ weights / logits.shape[1] ** 0.5).remainder(1.0)
    return numbers


def drawn_first_words(
    model: CaptionModel,
    encoded: EncodedAudio,
    numbers: Tensor,
    count: int,
    mass: float,
    constraints: WordConstraints | None,
    evidence: WordGuide | None,
) -> tuple[Tensor, Tensor]:
    """Draw first words of each track, at evenly spaced numbers from its own on.

    Args:
        model: Predicts the first word.
        encoded: Tracks, one row each.
        numbers: From 0 to 1, (batch,).
        count: Draws per track; a word that is drawn twice counts once.
        mass: Only the most probable words that have this probability together are drawn.
        constraints: Words that must not come first.
        evidence: What first words are worth; only what they cost counts.

    Returns:
        Rows of tracks, ascending, and ids of their words, (draws,) each.
    """
    batch, device = len(numbers), numbers.device
    log_probs, _ = model.step(encoded, model.start(encoded), torch.full((batch,), SOS, device=device))
    nothing = torch.empty(batch, 0, dtype=torch.long, device=device)
    log_probs = allowed_words(log_probs, nothing, constraints, evidence)
    if evidence is not None:
        log_probs = log_probs + evidence.bonus(nothing).clamp(max=0.0)
    share, word = log_probs.double().softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    total = share.cumsum(dim=-1)
    kept = share.masked_fill(total - share >= mass, 0.0).cumsum(dim=-1)
    spaced = (numbers.unsqueeze(1) + torch.arange(count, device=device) / count).remainder(1.0)
    # The first word whose words before and itself have more than the number's share of the kept probability.
    place = torch.searchsorted(kept, spaced * kept[:, -1:], right=True)
    last = (kept < kept[:, -1:]).sum(dim=-1, keepdim=True)
    drawn = word.gather(1, torch.minimum(place, last))
    rows = torch.arange(batch, device=device).unsqueeze(1).expand_as(drawn)
    found = torch.unique(torch.stack([rows, drawn], dim=-1).flatten(0, 1), dim=0)
    return found[:, 0], found[:, 1]


class FirstWords:
    """Allows only a given first word for each search; a guide of the searches."""

    def __init__(self, words: Tensor, vocabulary_size: int) -> None:
        """Keep the ids, (batch,)."""
        self._words, self._vocabulary_size = words, vocabulary_size

    def select(self, rows: Tensor) -> "FirstWords":
        """Return the given tracks."""
        return FirstWords(self._words[rows], self._vocabulary_size)

    def bonus(self, words: Tensor) -> Tensor:
        """Return -inf for all first words but one, and 0 for all later words, (batch * beams, vocab)."""
        bonus = torch.zeros(len(words), self._vocabulary_size, device=words.device)
        if words.shape[1]:
            return bonus
        allowed = self._words.repeat_interleave(len(words) // len(self._words)).unsqueeze(1)
        return bonus.fill_(float("-inf")).scatter_(1, allowed, 0.0)

    def ruled_out(self, words: Tensor) -> None:
        """Return None: the bonus says it all."""
        return None
