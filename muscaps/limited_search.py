"""Beam search for captions of limited length that end as sentences.

Plain beam search fills its beam with the beginnings of longer sentences, none of which ends within the limit. Here
every hypothesis is considered as a caption at every step too. It is one where the model gives its end a probability of
at least `MIN_END_PROBABILITY`; after "with a" it gives almost none. A hypothesis is dropped if no word fits that the
model gives a probability of at least `MIN_WORD_PROBABILITY`. The beam does not narrow.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from muscaps.config import DecodingOptions
from muscaps.decoding import NO_WORD, Hypothesis, WordGuide, allowed_words
from muscaps.length_limit import LengthLimit
from muscaps.models.caption_model import CaptionModel, EncodedAudio
from muscaps.vocabulary import EOS, SOS
from muscaps.word_constraints import WordConstraints

MIN_END_PROBABILITY = 0.1
"""Least probability of the end of a sentence."""
MIN_WORD_PROBABILITY = 0.05
"""Least probability of a word. Without it, unlikely short words fill up the rest: "drums support bass and bouncy"."""
BEAM_SIZE = 20
"""Least number of hypotheses that are kept at every step."""
NUM_RETURNED = 20
"""Captions returned per track, at most."""


class _Ends(NamedTuple):
    """The hypotheses of one step as captions; (batch, beams) each, words (batch, beams, steps)."""

    score: Tensor
    """Log-probability with `<eos>` plus bonus; -inf in an empty slot."""
    log_prob: Tensor
    """Log-probability with `<eos>`."""
    end: Tensor
    """Log-probability of `<eos>` alone."""
    words: Tensor

    def of_track(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return score, log-probability and end of a track's hypotheses."""
        return self.score[row], self.log_prob[row], self.end[row]


@torch.inference_mode()
def limited_search(
    model: CaptionModel,
    encoded: EncodedAudio,
    options: DecodingOptions,
    limit: LengthLimit,
    constraints: WordConstraints | None = None,
    guide: WordGuide | None = None,
) -> list[list[Hypothesis]]:
    """Search for the most probable captions within a limit, of many tracks at once.

    Args:
        model: Predicts one word at a time.
        encoded: Tracks, one row each.
        options: Beam size, of which at least `BEAM_SIZE` are kept, and `max_words`.
        limit: Words and characters at most.
        constraints: Words that must not follow; None for no constraint.
        guide: Bonuses added to log-probabilities when words are compared; None for no bonus.

    Returns:
        Per track the captions found, by falling log-probability plus bonus. If none ends as a sentence, the one whose
        end is the most probable.
    """
    batch, device = encoded.embedding.shape[0], encoded.embedding.device
    beams = max(options.beam_size, BEAM_SIZE)
    first_slot = torch.arange(batch, device=device).unsqueeze(1) * beams
    state = model.start(encoded).select(torch.arange(batch, device=device).repeat_interleave(beams))
    score = torch.full((batch, beams), float("-inf"), device=device, dtype=torch.float64)
    score[:, 0] = 0.0
    log_prob = torch.zeros_like(score)
    words = torch.full((batch, beams, options.max_words), NO_WORD, device=device)
    ends: list[_Ends] = []
    for step in range(options.max_words):
        before = words[:, :, :step].flatten(0, 1)
        last = words[:, :, step - 1].flatten() if step else torch.full((batch * beams,), SOS, device=device)
        log_probs, state = model.step(encoded, state, last.clamp(min=0))
        log_probs = allowed_words(log_probs, before, constraints, guide)
        preferred = log_probs if guide is None else log_probs + guide.bonus(before)
        if step:
            end = log_probs[:, EOS].masked_fill(~limit.may_be_last[last], float("-inf")).view(batch, beams).double()
            ends.append(_Ends(score + end, log_prob + end, end, words[:, :, :step]))
        is_unlikely = log_probs < math.log(MIN_WORD_PROBABILITY)
        preferred = preferred.masked_fill(is_unlikely | limit.exceeded(before), float("-inf"))
        preferred[:, EOS] = float("-inf")
        scores = score.unsqueeze(2) + preferred.double().view(batch, beams, -1)
        score, choice = scores.flatten(1).topk(beams, dim=1)
        if not bool(score.isfinite().any()):
            break
        parent, word = choice // scores.shape[2], choice % scores.shape[2]
        own = log_probs.view(batch, beams, -1)[torch.arange(batch, device=device).unsqueeze(1), parent, word]
        log_prob = log_prob.gather(1, parent) + own.double()
        words = words.gather(1, parent.unsqueeze(2).expand_as(words))
        words[:, :, step] = word
        state = state.select((first_slot + parent).flatten())
    return [_best(ends, row) for row in range(batch)]


def _best(ends: list[_Ends], row: int) -> list[Hypothesis]:
    """Return the best captions of a track among its hypotheses of all steps."""
    score, log_prob, end = (torch.cat(values) for values in zip(*(part.of_track(row) for part in ends), strict=True))
    live, beams = score.isfinite(), ends[0].score.shape[1]
    is_sentence = live & (end >= math.log(MIN_END_PROBABILITY))
    ranked = score.masked_fill(~is_sentence, float("-inf")).argsort(descending=True)[:NUM_RETURNED]
    chosen = ranked[is_sentence[ranked]]
    if not len(chosen):
        chosen = end.masked_fill(~live, float("-inf")).argmax().unsqueeze(0)
    return [
        Hypothesis(
            word_ids=tuple(word for word in ends[index // beams].words[row, index % beams].tolist() if word != NO_WORD),
            log_prob=float(log_prob[index]),
            finished=bool(is_sentence[index]),
        )
        for index in chosen.tolist()
    ]
