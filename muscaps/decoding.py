"""From encoded audio to captions: greedy and beam search, batched over tracks (paper sections III-E, IV-D4).

Conventions: log-probabilities are natural logarithms, summed over the words and `<eos>`, with no length
normalisation. A finished hypothesis leaves the beam and the beam narrows; the best finished one wins.

Departs from the published program: where no hypothesis finishes within `max_words`, it returns an empty
caption; here the best unfinished one is returned.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from muscaps.config import DecodingOptions
from muscaps.model import CaptionModel, EncodedAudio
from muscaps.vocabulary import EOS, SOS, Vocabulary, detokenize

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


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another hypothesis of a caption, in words."""

    text: str
    log_prob: float


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What a stretch of a track sounds like."""

    start_s: float
    end_s: float
    text: str
    log_prob: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Caption:
    """What was found for one track."""

    text: str
    """The sentence."""
    words: tuple[str, ...]
    """Its tokens, `<unk>` included."""
    word_ids: tuple[int, ...]
    """Their ids."""
    log_prob: float
    """log P(words, `<eos>` | audio)."""
    alternatives: tuple[Alternative, ...] = ()
    """Other hypotheses, best first."""
    segments: tuple[Segment, ...] = ()
    """Time-coded captions, where asked for."""
    attention: npt.NDArray[np.float32] | None = None
    """Weights, (words + `<eos>`, chunks), where asked for and the model attends."""


@torch.inference_mode()
def greedy_search(model: CaptionModel, encoded: EncodedAudio, max_words: int) -> list[Hypothesis]:
    """Take the most probable word at every step.

    Args:
        model: Steps one word at a time.
        encoded: Tracks, one row each.
        max_words: Longest caption.

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
        best, word = log_probs.max(dim=-1)
        log_prob += torch.where(done, 0.0, best.double())
        words[:, t] = torch.where(done, NO_WORD, word)
        done |= word == EOS
        if bool(done.all()):
            break
    return [_hypothesis(*row) for row in zip(words.tolist(), log_prob.tolist(), done.tolist(), strict=True)]


def _hypothesis(ids: list[int], log_prob: float, finished: bool) -> Hypothesis:
    words = tuple(index for index in ids if index not in (NO_WORD, EOS))
    return Hypothesis(word_ids=words, log_prob=log_prob, finished=finished)


@torch.inference_mode()
def beam_search(model: CaptionModel, encoded: EncodedAudio, options: DecodingOptions) -> list[list[Hypothesis]]:
    """Search for the most probable captions of many tracks at once.

    Every track owns `beam_size` slots. A slot holds a live or a finished hypothesis; only live ones are
    stepped, all tracks' together, and a track's live slots compete only with each other, so that no caption
    depends on what shares its batch.

    Args:
        model: Steps one word at a time.
        encoded: Tracks, one row each.
        options: Beam size and longest caption; a beam of one is greedy search.

    Returns:
        Per track every hypothesis found, best first: the finished ones, then the unfinished.
    """
    if options.beam_size == 1:
        return [[hypothesis] for hypothesis in greedy_search(model, encoded, options.max_words)]
    batch, beam, device = encoded.embedding.shape[0], options.beam_size, encoded.embedding.device
    slots = torch.arange(beam, device=device)
    score = torch.full((batch, beam), float("-inf"), device=device, dtype=torch.float64)
    score[:, 0] = 0.0  # all beams start as one and the same hypothesis
    live = torch.zeros(batch, beam, dtype=torch.bool, device=device)
    live[:, 0] = True
    num_live = torch.full((batch, 1), beam, device=device)
    words = torch.full((batch, beam, options.max_words), NO_WORD, device=device)
    state = model.start(encoded)
    rows = torch.arange(batch, device=device) * beam  # slot (track, beam) of each stepped row
    last = torch.full((batch,), SOS, device=device)
    for t in range(options.max_words):
        log_probs, state = model.step(encoded.select(rows // beam), state, last)
        vocab = log_probs.shape[1]
        total = torch.full((batch * beam, vocab), float("-inf"), device=device, dtype=torch.float64)
        total[rows] = score.flatten()[rows].unsqueeze(1) + log_probs.double()
        top, choice = total.view(batch, beam * vocab).topk(min(beam, beam * vocab), dim=1)
        parent, word = choice // vocab, choice % vocab
        kept = (slots < num_live) & top.isfinite()  # a narrowed beam keeps fewer
        # New hypotheses first, then the finished ones of earlier steps: together exactly one beam.
        finished_before = score.isfinite() & ~live
        order = torch.cat([torch.where(kept, 0, 2), torch.where(finished_before, 1, 2)], dim=1)
        slot = order.argsort(dim=1, stable=True)[:, :beam]
        source = torch.cat([parent, slots.expand(batch, beam)], dim=1).gather(1, slot)
        is_new = slot < beam
        grown = torch.cat([word, torch.full_like(word, NO_WORD)], dim=1).gather(1, slot)
        occupied = order.gather(1, slot) < 2
        score = torch.cat([top, score], dim=1).gather(1, slot).masked_fill(~occupied, float("-inf"))
        words = words.gather(1, source.unsqueeze(2).expand_as(words))
        words[:, :, t] = torch.where(is_new & occupied, grown, words[:, :, t])
        ended = is_new & occupied & (grown == EOS)
        num_live = num_live - ended.sum(dim=1, keepdim=True)
        live = is_new & occupied & ~ended
        next_rows = live.flatten().nonzero().squeeze(1)
        if next_rows.numel() == 0:
            break
        # Where each live slot's parent stood among the rows just stepped.
        position = torch.full((batch * beam,), -1, device=device)
        position[rows] = torch.arange(rows.numel(), device=device)
        parents = position[next_rows // beam * beam + source.flatten()[next_rows]]
        state = state.select(parents)
        rows, last = next_rows, grown.flatten()[next_rows]
    return _ranked(words.tolist(), score.tolist(), live.tolist())


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


def to_caption(hypotheses: list[Hypothesis], vocabulary: Vocabulary, num_alternatives: int) -> Caption:
    """Put a track's ranked hypotheses into words; a hypothesis without any counts only where there is no other."""
    spoken = [hypothesis for hypothesis in hypotheses if hypothesis.word_ids] or hypotheses
    best, *others = spoken
    words = tuple(vocabulary.words[index] for index in best.word_ids)
    return Caption(
        text=detokenize(words),
        words=words,
        word_ids=best.word_ids,
        log_prob=best.log_prob,
        alternatives=tuple(
            Alternative(text=detokenize(vocabulary.decode(other.word_ids)), log_prob=other.log_prob)
            for other in others[:num_alternatives]
        ),
    )
