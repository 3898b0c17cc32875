"""Greedy search and beam search over the words of captions, batched over tracks (paper sections III-E and IV-D4).

Conventions: log-probabilities are natural logarithms, summed over the words and `<eos>`, without length
normalisation. A finished hypothesis leaves the beam and the beam narrows. The most probable finished one wins.

Departs from the published program: it returns an empty caption if no hypothesis finishes within `max_words`.
Here the most probable unfinished hypothesis is returned.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from muscaps.config import DecodingOptions
from muscaps.models.caption_model import CaptionModel, DecoderState, EncodedAudio
from muscaps.vocabulary import EOS, SOS
from muscaps.word_constraints import WordConstraints

STEPS_BETWEEN_CHECKS = {"cpu": 1, "cuda": 4}
"""Words between two checks whether a search is complete. A check makes the host wait for a GPU; a word costs little."""
LEAST_LEFT = 0.1
"""Probability that the words which a guide leaves need together."""
NO_WORD = -1
"""Fills the positions after the last word of a hypothesis. `<pad>` cannot, because a model may predict it."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One possible caption of a track, as word ids."""

    word_ids: tuple[int, ...]
    """Words, without `<sos>` and `<eos>`."""
    log_prob: float
    """log P(words, `<eos>` | audio); without `<eos>` if unfinished."""
    finished: bool
    """True if it ends with `<eos>` within `max_words`."""


class WordGuide(Protocol):
    """Changes which words a search prefers, without changing log-probabilities."""

    def select(self, rows: Tensor) -> Self:
        """Return the guide for the tracks at the given rows."""
        ...

    def bonus(self, words: Tensor) -> Tensor:
        """Return what to add to log P(next word), (batch * beams, vocab), after words, (batch * beams, steps)."""
        ...

    def ruled_out(self, words: Tensor) -> Tensor | None:
        """Return which next words should not follow, same shapes; None if all may."""
        ...


def allowed_words(
    log_probs: Tensor, words: Tensor, constraints: WordConstraints | None, guide: WordGuide | None
) -> Tensor:
    """Return log P(next word) with -inf for words that guide or constraints exclude.

    The guide comes first: what a word's probability is compared with (`least_word_share`) must be allowed itself. Where
    the words that the guide leaves are improbable together, it rules out nothing: there is no other way to go on.

    Args:
        log_probs: (batch * beams, vocab).
        words: Ids so far, (batch * beams, steps).
        constraints: None for no constraint.
        guide: None for no guide.
    """
    ruled_out = None if guide is None else guide.ruled_out(words)
    if ruled_out is not None:
        left = log_probs.masked_fill(ruled_out, float("-inf"))
        can_go_on = left.logsumexp(dim=1, keepdim=True) >= math.log(LEAST_LEFT)
        log_probs = torch.where(can_go_on, left, log_probs)
    return log_probs if constraints is None else constraints.constrained(log_probs, words)


@torch.inference_mode()
def greedy_search(
    model: CaptionModel,
    encoded: EncodedAudio,
    max_words: int,
    constraints: WordConstraints | None = None,
    guide: WordGuide | None = None,
) -> list[Hypothesis]:
    """Take the most probable word at every step.

    Args:
        model: Predicts one word at a time.
        encoded: Tracks, one row each.
        max_words: Steps at most, one word or `<eos>` each.
        constraints: Words that must not follow; None for no constraint.
        guide: Bonuses added to log-probabilities when words are compared; None for no bonus.

    Returns:
        One hypothesis per track.
    """
    batch = encoded.embedding.shape[0]
    device = encoded.embedding.device
    state = model.start(encoded)
    word = torch.full((batch,), SOS, device=device)
    log_prob = torch.zeros(batch, device=device, dtype=torch.float64)
    finished = torch.zeros(batch, dtype=torch.bool, device=device)
    words = torch.full((batch, max_words), NO_WORD, device=device)
    for step in range(max_words):
        log_probs, state = model.step(encoded, state, word)
        log_probs = allowed_words(log_probs, words[:, :step], constraints, guide)
        preferred = log_probs if guide is None else log_probs + guide.bonus(words[:, :step])
        word = preferred.argmax(dim=-1)
        log_prob += torch.where(finished, 0.0, log_probs.gather(1, word.unsqueeze(1)).squeeze(1).double())
        words[:, step] = torch.where(finished, NO_WORD, word)
        finished |= word == EOS
        if _is_check_step(step, device) and bool(finished.all()):
            break
    return [_hypothesis(*row) for row in zip(words.tolist(), log_prob.tolist(), finished.tolist(), strict=True)]


@torch.inference_mode()
def beam_search(
    model: CaptionModel,
    encoded: EncodedAudio,
    options: DecodingOptions,
    constraints: WordConstraints | None = None,
    guide: WordGuide | None = None,
) -> list[list[Hypothesis]]:
    """Search for the most probable captions of many tracks at once.

    Every track has `beam_size` slots, and each slot holds one unfinished or finished hypothesis. The unfinished
    hypotheses of a track compete only with each other, so a caption does not depend on the other tracks of the
    batch. Tracks without unfinished hypotheses leave the batch when they are at least half of it.

    Args:
        model: Predicts one word at a time.
        encoded: Tracks, one row each.
        options: Beam size and longest caption. A beam of one is greedy search.
        constraints: Words that must not follow; None for no constraint.
        guide: Bonuses added to log-probabilities when words are compared; None for no bonus.

    Returns:
        Per track every hypothesis found, at most `beam_size`: the finished ones, then the unfinished ones, each by
        falling log-probability plus bonus.
    """
    if options.beam_size == 1:
        return [[hypothesis] for hypothesis in greedy_search(model, encoded, options.max_words, constraints, guide)]
    batch, device = encoded.embedding.shape[0], encoded.embedding.device
    search = _Search.start(model, encoded, options, guide)
    completed: list[tuple[Tensor, _Beams]] = []  # tracks that left the batch, and their beams
    for step in range(options.max_words):
        search = search.next_word(model, step, constraints)
        if not _is_check_step(step, device):
            continue
        unfinished = search.beams.unfinished.any(dim=1)
        num_unfinished = int(unfinished.sum())
        if num_unfinished == 0:
            break
        if num_unfinished <= len(unfinished) // 2:
            completed.append((search.tracks[~unfinished], search.beams.select(_rows_of(~unfinished))))
            search = search.select(_rows_of(unfinished))
    completed.append((search.tracks, search.beams))
    ranked: list[list[Hypothesis]] = [[] for _ in range(batch)]
    for tracks, beams in completed:
        for track, hypotheses in zip(tracks.tolist(), beams.ranked(), strict=True):
            ranked[track] = hypotheses
    return ranked


def _is_check_step(step: int, device: torch.device) -> bool:
    """Return whether to check after word number `step` whether the search is complete."""
    return (step + 1) % STEPS_BETWEEN_CHECKS.get(device.type, 1) == 0


def _rows_of(mask: Tensor) -> Tensor:
    """Return the indices of the true entries of a mask, (batch,)."""
    return mask.nonzero().squeeze(1)


def _hypothesis(ids: list[int], log_prob: float, finished: bool) -> Hypothesis:
    words = tuple(index for index in ids if index not in (NO_WORD, EOS))
    return Hypothesis(word_ids=words, log_prob=log_prob, finished=finished)


class _Beams(NamedTuple):
    """The hypotheses of a batch of tracks. Each part is (batch, beams) or (batch, beams, steps)."""

    score: Tensor
    """Log-probability plus bonus so far, float64; -inf in an empty slot."""
    log_prob: Tensor
    """Log-probability so far, float64."""
    unfinished: Tensor
    """True if the slot holds a hypothesis without `<eos>`."""
    words: Tensor
    """Ids, `<eos>` included, then `NO_WORD`."""
    num_unfinished: Tensor
    """Unfinished hypotheses a track may keep, (batch, 1): `beam_size` less those that are finished."""

    @classmethod
    def start(cls, batch: int, beam_size: int, max_words: int, device: torch.device) -> "_Beams":
        """Return one empty hypothesis per track; several would all be extended by the same words."""
        score = torch.full((batch, beam_size), float("-inf"), device=device, dtype=torch.float64)
        score[:, 0] = 0.0
        words = torch.full((batch, beam_size, max_words), NO_WORD, device=device)
        num_unfinished = torch.full((batch, 1), beam_size, device=device)
        return cls(score, torch.zeros_like(score), score.isfinite(), words, num_unfinished)

    def select(self, rows: Tensor) -> "_Beams":
        """Return the tracks at the given rows."""
        return _Beams(*(part[rows] for part in self))

    def extend(self, log_probs: Tensor, preferred: Tensor, step: int) -> tuple["_Beams", Tensor]:
        """Append one word to the unfinished hypotheses and keep the best extensions of each track.

        Args:
            log_probs: log P(next word) of every slot, (batch * beams, vocab).
            preferred: The same plus the bonus of every word, by which extensions are compared.
            step: Number of the word, from 0.

        Returns:
            The new beams and, for every slot, the slot that it extends, (batch, beams).
        """
        batch, beam_size = self.score.shape
        slots = torch.arange(beam_size, device=log_probs.device).expand(batch, beam_size)
        score, extended_slot, word = self._best_extensions(preferred)
        kept = (slots < self.num_unfinished) & score.isfinite()  # a narrowed beam keeps fewer
        finished = self.score.isfinite() & ~self.unfinished
        # The kept extensions first, then the hypotheses finished at an earlier step: together at most one beam.
        order = torch.cat([torch.where(kept, 0, 2), torch.where(finished, 1, 2)], dim=1)
        choice = order.argsort(dim=1, stable=True)[:, :beam_size]
        chosen_order = order.gather(1, choice)
        is_new = chosen_order == 0
        parent = torch.cat([extended_slot, slots], dim=1).gather(1, choice)
        score = torch.cat([score, self.score], dim=1).gather(1, choice).masked_fill(chosen_order == 2, float("-inf"))
        own = log_probs.view(batch, beam_size, -1)[
            torch.arange(batch, device=word.device).unsqueeze(1), extended_slot, word
        ]
        log_prob = self.log_prob.gather(1, extended_slot) + own.double()
        log_prob = torch.cat([log_prob, self.log_prob], dim=1).gather(1, choice)
        words = self.words.gather(1, parent.unsqueeze(2).expand_as(self.words))
        new_word = torch.cat([word, word], dim=1).gather(1, choice)
        words[:, :, step] = torch.where(is_new, new_word, words[:, :, step])
        ended = is_new & (new_word == EOS)
        num_unfinished = self.num_unfinished - ended.sum(dim=1, keepdim=True)
        return _Beams(score, log_prob, is_new & ~ended, words, num_unfinished), parent

    def _best_extensions(self, preferred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find each track's best extensions, best first: score, extended slot and word, (batch, beams)."""
        batch, beam_size = self.score.shape
        # No word outside the best `beam_size` of its own slot can be among the best `beam_size` of the track.
        best_words = preferred.topk(min(beam_size, preferred.shape[1]), dim=1)
        per_slot = best_words.values.shape[1]
        scores = self.score.unsqueeze(2) + best_words.values.double().view(batch, beam_size, per_slot)
        scores = scores.masked_fill(~self.unfinished.unsqueeze(2), float("-inf")).flatten(1)
        score, choice = scores.topk(beam_size, dim=1)
        word = best_words.indices.view(batch, -1).gather(1, choice)
        return score, choice // per_slot, word

    def ranked(self) -> list[list[Hypothesis]]:
        """Return each track's hypotheses: finished before unfinished, then by falling score."""
        parts = (self.words.tolist(), self.score.tolist(), self.log_prob.tolist(), self.unfinished.tolist())
        tracks = []
        for track in zip(*parts, strict=True):
            slots = [slot for slot in zip(*track, strict=True) if slot[1] != float("-inf")]
            slots.sort(key=lambda slot: (slot[3], -slot[1]))
            tracks.append([_hypothesis(ids, log_prob, not unfinished) for ids, _, log_prob, unfinished in slots])
        return tracks


class _Search(NamedTuple):
    """A beam search between two words, for the tracks that are still in the batch."""

    tracks: Tensor
    """Each row's position in the original batch, (batch,)."""
    encoded: EncodedAudio
    state: DecoderState
    """One row per slot, the slots of a track one after another, (batch * beams, hidden)."""
    beams: _Beams
    guide: WordGuide | None

    @classmethod
    def start(
        cls, model: CaptionModel, encoded: EncodedAudio, options: DecodingOptions, guide: WordGuide | None
    ) -> "_Search":
        """Return the search before the first word."""
        batch, device = encoded.embedding.shape[0], encoded.embedding.device
        tracks = torch.arange(batch, device=device)
        state = model.start(encoded).select(tracks.repeat_interleave(options.beam_size))
        return cls(tracks, encoded, state, _Beams.start(batch, options.beam_size, options.max_words, device), guide)

    def next_word(self, model: CaptionModel, step: int, constraints: WordConstraints | None) -> "_Search":
        """Predict word number `step` and keep the most probable hypotheses."""
        words = self.beams.words
        last = words[:, :, step - 1] if step else torch.full_like(words[:, :, 0], SOS)
        log_probs, state = model.step(self.encoded, self.state, last.clamp(min=0).flatten())
        before = words[:, :, :step].flatten(0, 1)
        log_probs = allowed_words(log_probs, before, constraints, self.guide)
        preferred = log_probs if self.guide is None else log_probs + self.guide.bonus(before)
        beams, parent = self.beams.extend(log_probs, preferred, step)
        return _Search(
            self.tracks,
            self.encoded,
            state.select(_state_rows(torch.arange(len(parent), device=parent.device), parent)),
            beams,
            self.guide,
        )

    def select(self, rows: Tensor) -> "_Search":
        """Return the search of the tracks at the given rows."""
        slots = torch.arange(self.beams.score.shape[1], device=rows.device).expand(len(rows), -1)
        state = self.state.select(_state_rows(rows, slots))
        guide = None if self.guide is None else self.guide.select(rows)
        return _Search(self.tracks[rows], self.encoded.select(rows), state, self.beams.select(rows), guide)


def _state_rows(rows: Tensor, slots: Tensor) -> Tensor:
    """Return where the state holds slots of tracks: (batch,), (batch, beams) -> (batch * beams,)."""
    return (rows.unsqueeze(1) * slots.shape[1] + slots).flatten()
