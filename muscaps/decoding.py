"""From encoded audio to captions: greedy and beam search, batched over tracks (paper sections III-E, IV-D4).

Conventions: log-probabilities are natural logarithms, summed over the words and `<eos>`, with no length
normalisation. A finished hypothesis leaves the beam and the beam narrows; the best finished one wins.

Departs from the published program: where no hypothesis finishes within `max_words`, it returns an empty
caption; here the best unfinished one is returned.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from muscaps.config import DecodingOptions
from muscaps.models.caption_model import CaptionModel, EncodedAudio
from muscaps.vocabulary import EOS, SOS
from muscaps.word_constraints import WordConstraints

WORDS_BETWEEN_LOOKS = {"cpu": 1, "cuda": 4}
"""Words after which a search looks whether it is done: a look makes the host wait for a GPU, a word costs little."""
NO_WORD = -1
"""Fills the places after a hypothesis' last word; `<pad>` cannot, a model may say it."""


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One way to caption a track, as ids."""

    word_ids: tuple[int, ...]
    """Words, without `<sos>` and `<eos>`."""
    log_prob: float
    """log P(words, `<eos>` | audio); without `<eos>` where unfinished."""
    finished: bool
    """Whether it ended with `<eos>` within `max_words`."""


@torch.inference_mode()
def greedy_search(
    model: CaptionModel, encoded: EncodedAudio, max_words: int, constraints: WordConstraints | None = None
) -> list[Hypothesis]:
    """Take the most probable word at every step.

    Args:
        model: Steps one word at a time.
        encoded: Tracks, one row each.
        max_words: Longest caption.
        constraints: Words that may not come; None for none.

    Returns:
        One hypothesis a track.
    """
    batch = encoded.embedding.shape[0]
    device = encoded.embedding.device
    state = model.start(encoded)
    word = torch.full((batch,), SOS, device=device)
    log_prob = torch.zeros(batch, device=device, dtype=torch.float64)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    words = torch.full((batch, max_words), NO_WORD, device=device)
    for t in range(max_words):
        log_probs, state = model.step(encoded, state, word)
        if constraints is not None:
            log_probs = constraints.constrained(log_probs, words[:, :t])
        best, word = log_probs.max(dim=-1)
        log_prob += torch.where(done, 0.0, best.double())
        words[:, t] = torch.where(done, NO_WORD, word)
        done |= word == EOS
        if _looks(t, device) and bool(done.all()):
            break
    return [_hypothesis(*row) for row in zip(words.tolist(), log_prob.tolist(), done.tolist(), strict=True)]


def _hypothesis(ids: list[int], log_prob: float, finished: bool) -> Hypothesis:
    words = tuple(index for index in ids if index not in (NO_WORD, EOS))
    return Hypothesis(word_ids=words, log_prob=log_prob, finished=finished)


@torch.inference_mode()
def beam_search(
    model: CaptionModel,
    encoded: EncodedAudio,
    options: DecodingOptions,
    constraints: WordConstraints | None = None,
) -> list[list[Hypothesis]]:
    """Search for the most probable captions of many tracks at once.

    Every track owns `beam_size` slots. A slot holds a live or a finished hypothesis; a track's live slots
    compete only with each other, so that no caption depends on what shares its batch. Tracks that are done
    leave the batch once half of it is.

    Args:
        model: Steps one word at a time.
        encoded: Tracks, one row each.
        options: Beam size and longest caption; a beam of one is greedy search.
        constraints: Words that may not come; None for none.

    Returns:
        Per track every hypothesis found, best first: the finished ones, then the unfinished.
    """
    if options.beam_size == 1:
        return [[hypothesis] for hypothesis in greedy_search(model, encoded, options.max_words, constraints)]
    batch, beam, device = encoded.embedding.shape[0], options.beam_size, encoded.embedding.device
    slots = torch.arange(beam, device=device)
    beams = _Beams.start(batch, beam, options.max_words, device)
    done: list[tuple[Tensor, _Beams]] = []  # tracks that left the batch, and their beams
    tracks = torch.arange(batch, device=device)
    state = model.start(encoded).select(tracks.repeat_interleave(beam))
    for t in range(options.max_words):
        last = beams.words[:, :, t - 1] if t else torch.full_like(beams.words[:, :, 0], SOS)
        log_probs, state = model.step(encoded, state, last.clamp(min=0).flatten())
        if constraints is not None:
            log_probs = constraints.constrained(log_probs, beams.words[:, :, :t].flatten(0, 1))
        beams, parent = beams.extended(log_probs, t)
        state = state.select((torch.arange(len(tracks), device=device).unsqueeze(1) * beam + parent).flatten())
        if not _looks(t, device):
            continue
        working = beams.live.any(dim=1)
        num_working = int(working.sum())
        if num_working == 0:
            break
        if num_working <= len(tracks) // 2:
            done.append((tracks[~working], beams.select((~working).nonzero().squeeze(1))))
            rows = working.nonzero().squeeze(1)
            tracks, beams, encoded = tracks[rows], beams.select(rows), encoded.select(rows)
            state = state.select((rows.unsqueeze(1) * beam + slots).flatten())
    done.append((tracks, beams))
    ranked: list[list[Hypothesis]] = [[] for _ in range(batch)]
    for index, part in done:
        for track, hypotheses in zip(index.tolist(), part.ranked(), strict=True):
            ranked[track] = hypotheses
    return ranked


def _looks(t: int, device: torch.device) -> bool:
    """Whether to look, after word `t`, how many tracks are done."""
    return (t + 1) % WORDS_BETWEEN_LOOKS.get(device.type, 1) == 0


class _Beams(NamedTuple):
    """The hypotheses of a batch of tracks; every part is (batch, beams) or (batch, beams, steps)."""

    score: Tensor
    """Log-probability so far, float64; -inf where a slot is empty."""
    live: Tensor
    """True where a hypothesis can still grow."""
    words: Tensor
    """Ids, `<eos>` included, then `NO_WORD`."""
    num_live: Tensor
    """Hypotheses a track may keep growing, (batch, 1): `beam_size` less those that have finished."""

    @classmethod
    def start(cls, batch: int, beam: int, max_words: int, device: torch.device) -> "_Beams":
        """Return one empty live hypothesis a track, for all beams start the same."""
        score = torch.full((batch, beam), float("-inf"), device=device, dtype=torch.float64)
        score[:, 0] = 0.0
        words = torch.full((batch, beam, max_words), NO_WORD, device=device)
        return cls(score, score.isfinite(), words, torch.full((batch, 1), beam, device=device))

    def select(self, rows: Tensor) -> "_Beams":
        """Return the given tracks."""
        return _Beams(self.score[rows], self.live[rows], self.words[rows], self.num_live[rows])

    def extended(self, log_probs: Tensor, t: int) -> tuple["_Beams", Tensor]:
        """Let every live hypothesis say its next word and keep each track's best.

        Args:
            log_probs: log P(next word) of every slot, (batch * beams, vocab).
            t: Which word this is, from 0.

        Returns:
            The new beams and, for every slot, the slot it grew from, (batch, beams).
        """
        batch, beam = self.score.shape
        slots = torch.arange(beam, device=log_probs.device).expand(batch, beam)
        # No hypothesis outside a slot's own best `beam` words can be among the track's best `beam`.
        best_words = log_probs.topk(min(beam, log_probs.shape[1]), dim=1)
        per_slot = best_words.values.shape[1]
        grown = self.score.unsqueeze(2) + best_words.values.double().view(batch, beam, per_slot)
        grown = grown.masked_fill(~self.live.unsqueeze(2), float("-inf")).flatten(1)
        top, choice = grown.topk(beam, dim=1)
        word = best_words.indices.view(batch, -1).gather(1, choice)
        kept = (slots < self.num_live) & top.isfinite()  # a narrowed beam keeps fewer
        finished = self.score.isfinite() & ~self.live
        # New hypotheses first, then those finished earlier: together at most one beam.
        order = torch.cat([torch.where(kept, 0, 2), torch.where(finished, 1, 2)], dim=1)
        slot = order.argsort(dim=1, stable=True)[:, :beam]
        new = (slot < beam) & (order.gather(1, slot) == 0)
        filled = order.gather(1, slot) < 2
        parent = torch.cat([choice // per_slot, slots], dim=1).gather(1, slot)
        score = torch.cat([top, self.score], dim=1).gather(1, slot).masked_fill(~filled, float("-inf"))
        words = self.words.gather(1, parent.unsqueeze(2).expand_as(self.words))
        said = torch.cat([word, word], dim=1).gather(1, slot)
        words[:, :, t] = torch.where(new, said, words[:, :, t])
        ended = new & (said == EOS)
        beams = _Beams(score, new & ~ended, words, self.num_live - ended.sum(dim=1, keepdim=True))
        return beams, parent

    def ranked(self) -> list[list[Hypothesis]]:
        """Sort each track's hypotheses: finished before unfinished, then by log-probability."""
        return _ranked(self.words.tolist(), self.score.tolist(), self.live.tolist())


def _ranked(words: list[list[list[int]]], score: list[list[float]], live: list[list[bool]]) -> list[list[Hypothesis]]:
    """Sort each track's hypotheses: finished before unfinished, then by log-probability."""
    tracks = []
    for ids, scores, unfinished in zip(words, score, live, strict=True):
        found = [
            _hypothesis(*slot[:2], not slot[2])
            for slot in zip(ids, scores, unfinished, strict=True)
            if slot[1] != float("-inf")
        ]
        tracks.append(sorted(found, key=lambda h: (not h.finished, -h.log_prob)))
    return tracks
