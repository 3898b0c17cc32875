"""Scores of captions against references and of a search against its answers; statistics of decoded captions.

Conventions: every score is a fraction, 0 to 1, except CIDEr-D (0 to 10) and SPIDEr, the mean of SPICE and
CIDEr-D; printed tables show all of them times 100, as papers do. BLEU, ROUGE-L and CIDEr-D come from
pycocoevalcap 1.2, METEOR and SPICE from the jars it ships (paper section IV-C2), so that a number here can
stand beside a published one. Two conventions never meet in one table:

- `default`: `<sos>`, `<eos>`, `<pad>` and `<unk>` are removed from predictions and references.
- `published`: they stay, as in the paper's own code. Every caption then shares at least `<sos>` and `<eos>`
  with its reference, which METEOR splits into six matching tokens: about 0.12 becomes 0.29.
"""

import importlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from muscaps.evaluation.java_scorers import (
    PYCOCOEVALCAP_REMEDY,
    Meteor,
    find_java,
    one_line,
    ptb_tokenize,
    spice,
    spice_obstacle,
)

ConventionName = Literal["default", "published"]
TokenizerName = Literal["ptb", "whitespace"]

METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider", "spice", "spider")
"""Names of the caption metrics, in the order of the paper's Tables I and II."""

_SPECIAL = re.compile(r"<(?:pad|unk|sos|eos)>")
_BRACKETS = re.compile(r"<(?:pad|sos|eos)>")
_START_OR_END = re.compile(r"<(?:sos|eos)>")
# Tried in this order: special tokens, words PTB cuts in two, initials, numbers, clitics, words with inner
# marks, and the marks that PTB keeps as tokens of their own.
_PLAIN_TOKEN = re.compile(
    r"<\w+>|can(?=not\b)|(?:gon|wan)(?=na\b)|got(?=ta\b)|r&b\b|etc\.|(?:[a-z]\.){2,}"
    r"|\d+(?:[.,/:]\d+)+|\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b"
    r"|\w+(?:[-/.]\w+)*|[&/()\[\]$%+=*@]"
)
_BRACKET_NAMES = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-"}


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """What a set of captions scored, and under which rules."""

    corpus: dict[str, float | None]
    """A score per metric over all captions; None where it could not be computed."""
    per_caption: dict[str, list[float] | None]
    """A score per metric and caption, in the order given."""
    missing: dict[str, str]
    """Why a metric is None, with the remedy."""
    notes: tuple[str, ...]
    """What a reader must know before comparing these numbers."""
    convention: ConventionName
    """Whether special tokens were removed."""
    tokenizer: Literal["ptb", "whitespace", "plain"]
    """`ptb` is the field's; `plain` imitates it where Java is absent."""
    num_captions: int
    """Captions scored."""


class CaptionScorer:
    """Scores any number of caption sets with one METEOR process.

    Use it as a context manager, or call `close`.
    """

    def __init__(self, *, corenlp: Path | None = None) -> None:
        """Look for Java; nothing is started yet.

        Args:
            corenlp: Folder with Stanford CoreNLP 3.6.0, for SPICE; None leaves SPICE and SPIDEr out.

        Raises:
            ValueError: The CoreNLP folder lacks its jars.
        """
        self.corenlp = corenlp
        self._java = find_java()
        self._meteor: Meteor | None = None
        if corenlp is not None and self._java is not None:
            obstacle = spice_obstacle(corenlp, self._java)
            if obstacle is not None:
                raise ValueError(obstacle)

    def score(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        *,
        convention: ConventionName = "default",
        tokenizer: TokenizerName = "ptb",
    ) -> CaptionScores:
        """Compute every metric of the paper's Tables I and II.

        Args:
            predictions: One caption per track.
            references: Its references, at least one per track.
            convention: Whether special tokens are removed (`default`) or left in (`published`).
            tokenizer: `ptb` for text as people write it, `whitespace` for text that is already tokenized.

        Returns:
            Corpus and per-caption scores; without Java, METEOR and SPICE are None, with the reason.

        Raises:
            ValueError: No captions, differing lengths, a track without a reference, or an unknown rule.
            ImportError: pycocoevalcap is not installed.
            muscaps.evaluation.java_scorers.JavaToolError: A Java scorer broke down.
        """
        if convention not in ("default", "published"):
            raise ValueError(f"convention must be 'default' or 'published', not {convention!r}")
        if tokenizer not in ("ptb", "whitespace"):
            raise ValueError(f"tokenizer must be 'ptb' or 'whitespace', not {tokenizer!r}")
        _check_captions(predictions, references)
        notes: list[str] = []
        missing: dict[str, str] = {}
        predictions, references = _apply_convention(predictions, references, convention, notes)
        used_tokenizer = self._available_tokenizer(tokenizer, notes)
        tokens, truths = _tokenize_all(predictions, references, used_tokenizer, self._java)
        results: dict[str, tuple[float, list[float]]] = {}
        with ThreadPoolExecutor(max_workers=1) as background:
            meteor = self._start_meteor(background, tokens, truths, missing)
            results |= _python_metrics(tokens, truths)
            if meteor is not None:
                results["meteor"] = meteor.result()
        self._add_spice(results, missing, tokens, truths)
        return CaptionScores(
            corpus={name: results[name][0] if name in results else None for name in METRICS},
            per_caption={name: results[name][1] if name in results else None for name in METRICS},
            missing=missing,
            notes=tuple(notes),
            convention=convention,
            tokenizer=used_tokenizer,
            num_captions=len(predictions),
        )

    def close(self) -> None:
        """Stop the METEOR process; safe to call twice."""
        if self._meteor is not None:
            self._meteor.close()
            self._meteor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _available_tokenizer(self, tokenizer: TokenizerName, notes: list[str]) -> Literal["ptb", "whitespace", "plain"]:
        if tokenizer == "whitespace" or self._java is not None:
            return tokenizer
        notes.append(
            "without Java the Penn Treebank tokenizer could not run: BLEU, ROUGE-L and CIDEr are computed on "
            "plain lower-case words, which agree with it except on unusual punctuation"
        )
        return "plain"

    def _start_meteor(
        self,
        background: ThreadPoolExecutor,
        tokens: list[str],
        truths: list[list[str]],
        missing: dict[str, str],
    ) -> "Future[tuple[float, list[float]]] | None":
        if self._java is None:
            missing["meteor"] = "METEOR needs Java 8 or newer on the PATH (Debian: openjdk-17-jre-headless)"
            return None
        self._meteor = self._meteor or Meteor(self._java)
        return background.submit(self._meteor.score, tokens, truths)

    def _add_spice(
        self,
        results: dict[str, tuple[float, list[float]]],
        missing: dict[str, str],
        tokens: list[str],
        truths: list[list[str]],
    ) -> None:
        obstacle = spice_obstacle(self.corenlp, self._java)
        if obstacle is not None:
            missing["spice"] = obstacle
            missing["spider"] = "SPIDEr is the mean of CIDEr and SPICE, and SPICE is missing"
            return
        assert self.corenlp is not None
        assert self._java is not None
        results["spice"] = spice(tokens, truths, corenlp=self.corenlp, java=self._java)
        results["spider"] = (
            (results["spice"][0] + results["cider"][0]) / 2,
            [(one + other) / 2 for one, other in zip(results["spice"][1], results["cider"][1], strict=True)],
        )


def score_captions(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    convention: ConventionName = "default",
    tokenizer: TokenizerName = "ptb",
    corenlp: Path | None = None,
) -> CaptionScores:
    """Score one set of captions; `CaptionScorer` says what the arguments mean and what can be raised."""
    with CaptionScorer(corenlp=corenlp) as scorer:
        return scorer.score(predictions, references, convention=convention, tokenizer=tokenizer)


def cider(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute CIDEr-D on white-space tokens, without Java: cheap enough for every epoch (Fig. 4).

    Args:
        predictions: One tokenized caption per track.
        references: Its tokenized references, at least one per track.

    Returns:
        The mean over captions, 0 to 10. A single caption scores 0: document frequencies need a corpus.

    Raises:
        ValueError: No captions, differing lengths, or a track without a reference.
        ImportError: pycocoevalcap is not installed.
    """
    _check_captions(predictions, references)
    tokens, truths = _tokenize_all(list(predictions), [list(texts) for texts in references], "whitespace", None)
    score: float = _coco("cider", "Cider", tokens, truths)[0]
    return score


def strip_special_tokens(text: str) -> str:
    """Remove `<pad>`, `<unk>`, `<sos>` and `<eos>`, and the white space they leave."""
    return one_line(_SPECIAL.sub(" ", text))


def plain_words(text: str) -> list[str]:
    """Split a caption into lower-case words without punctuation; special tokens stay whole."""
    tokens = _PLAIN_TOKEN.findall(text.lower().replace("\u2019", "'"))
    return [_BRACKET_NAMES.get(token, token) for token in tokens]


@dataclass(frozen=True, kw_only=True)
class DecodingStatistics:
    """How captions read, beyond what metrics see (paper section IV-D4)."""

    num_captions: int
    """Captions looked at."""
    mean_words: float
    """Words per caption, `<unk>` included."""
    unk_per_caption: float
    """`<unk>` tokens per caption."""
    repetitions_per_caption: float
    """Stretches of one to four words said twice in a row, as in "rock rock", per caption."""
    repeated_ngrams_per_caption: float
    """Pairs, triples and quadruples of words that occurred earlier in the same caption, per caption."""
    captions_with_repetition: float
    """Share of captions with a stretch said twice in a row, 0 to 1."""
    vocabulary_used: int
    """Different words over all captions, special tokens apart."""
    distinct_captions: float
    """Different captions as a share of all, 0 to 1."""
    empty_captions: int
    """Captions without a word."""
    novel_captions: float | None
    """Share of captions that are no training caption, 0 to 1; None where those were not given."""


def decoding_statistics(
    captions: Sequence[str], *, training_captions: Iterable[str] | None = None
) -> DecodingStatistics:
    """Describe decoded captions: unknown words, repetition, length, variety and novelty (section IV-D4).

    Args:
        captions: Decoded captions, `<unk>` left in.
        training_captions: What the model was trained on, to tell novel captions from remembered ones.

    Raises:
        ValueError: There are no captions.
    """
    if not captions:
        raise ValueError("decoding statistics need at least one caption")
    spoken = [plain_words(_BRACKETS.sub(" ", caption)) for caption in captions]
    repetitions = [count_immediate_repetitions(words) for words in spoken]
    distinct = {tuple(words) for words in spoken}
    novel = None
    if training_captions is not None:
        known = {tuple(plain_words(_BRACKETS.sub(" ", caption))) for caption in training_captions}
        novel = sum(tuple(words) not in known for words in spoken) / len(spoken)
    return DecodingStatistics(
        num_captions=len(spoken),
        mean_words=sum(map(len, spoken)) / len(spoken),
        unk_per_caption=sum(words.count("<unk>") for words in spoken) / len(spoken),
        repetitions_per_caption=sum(repetitions) / len(spoken),
        repeated_ngrams_per_caption=sum(map(_count_repeated_ngrams, spoken)) / len(spoken),
        captions_with_repetition=sum(count > 0 for count in repetitions) / len(spoken),
        vocabulary_used=len({word for words in spoken for word in words} - {"<unk>"}),
        distinct_captions=len(distinct) / len(spoken),
        empty_captions=sum(not words for words in spoken),
        novel_captions=novel,
    )


def count_immediate_repetitions(words: Sequence[str], *, longest: int = 4) -> int:
    """Count places where a stretch of one to `longest` words is directly followed by itself.

    A word said three times in a row counts twice, and not again as a repeated pair.
    """
    count = position = 0
    while position < len(words):
        length = next(
            (
                size
                for size in range(1, longest + 1)
                if words[position : position + size] == words[position + size : position + 2 * size]
                and position + 2 * size <= len(words)
            ),
            0,
        )
        count += length > 0
        position += length or 1
    return count


@dataclass(frozen=True, kw_only=True)
class RetrievalScores:
    """How well queries find their tracks (paper section IV-C3, Table III)."""

    recall_at_1: float
    """Share of queries whose track came first, 0 to 1; ties count by their chance."""
    recall_at_5: float
    """Share of queries whose track was among the first 5, 0 to 1."""
    recall_at_10: float
    """Share of queries whose track was among the first 10, 0 to 1."""
    median_rank: float
    """Median over queries of the track's expected rank; 1 is best."""
    num_queries: int
    """Queries asked."""
    num_tracks: int
    """Tracks ranked."""
    queries_with_unk: int | None
    """Queries holding a word the vocabulary lacks; None where that was not given."""


def retrieval_scores(
    log_probs: npt.ArrayLike, targets: npt.ArrayLike, *, queries_with_unk: int | None = None
) -> RetrievalScores:
    """Rank tracks by log P(query | audio) and see where each query's own track lands (Eq. 8, section IV-C3).

    Tracks that share a score are ranked in random order in expectation, so a model that cannot tell tracks
    apart gets chance, whatever order they came in.

    Args:
        log_probs: Score of each track for each query, (queries, tracks); -inf is allowed.
        targets: Column of each query's own track, (queries,).
        queries_with_unk: How many queries held an unknown word, to be reported beside the scores.

    Raises:
        ValueError: Shapes that do not fit, a target that is no column, or a score that is not a number.
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    columns = np.asarray(targets)
    if scores.ndim != 2 or columns.shape != scores.shape[:1] or scores.size == 0:
        raise ValueError(
            f"log_probs {scores.shape} and targets {columns.shape} must be (queries, tracks) and (queries,)"
        )
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {scores.size} scores are not a number")
    if not np.issubdtype(columns.dtype, np.integer) or columns.min() < 0 or columns.max() >= scores.shape[1]:
        raise ValueError(f"targets must be whole numbers from 0 to {scores.shape[1] - 1}")
    own = scores[np.arange(len(columns)), columns][:, None]
    better = (scores > own).sum(axis=1)
    tied = (scores == own).sum(axis=1)  # the track itself included

    def recall_at(k: int) -> float:
        return float(np.clip((k - better) / tied, 0, 1).mean())

    return RetrievalScores(
        recall_at_1=recall_at(1),
        recall_at_5=recall_at(5),
        recall_at_10=recall_at(10),
        median_rank=float(np.median(better + (tied + 1) / 2)),
        num_queries=scores.shape[0],
        num_tracks=scores.shape[1],
        queries_with_unk=queries_with_unk,
    )


def _check_captions(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if isinstance(predictions, str):
        raise ValueError("predictions must be a sequence of captions, not one string")
    if not predictions:
        raise ValueError("there are no captions to score")
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions, but {len(references)} lists of references")
    for index, truths in enumerate(references):
        if isinstance(truths, str) or not truths:
            raise ValueError(f"references[{index}] must be a list of at least one caption, not {truths!r}")


def _apply_convention(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    convention: ConventionName,
    notes: list[str],
) -> tuple[list[str], list[list[str]]]:
    if convention == "default":
        return (
            [strip_special_tokens(text) for text in predictions],
            [[strip_special_tokens(text) for text in truths] for truths in references],
        )
    everything = [*predictions, *(text for truths in references for text in truths)]
    if any(_START_OR_END.search(text) for text in everything):
        return list(predictions), [list(truths) for truths in references]
    notes.append("no caption held <sos> or <eos>: for the published convention both were added to every caption")
    return (
        [f"<sos> {text} <eos>" for text in predictions],
        [[f"<sos> {text} <eos>" for text in truths] for truths in references],
    )


def _tokenize_all(
    predictions: list[str],
    references: list[list[str]],
    tokenizer: Literal["ptb", "whitespace", "plain"],
    java: str | None,
) -> tuple[list[str], list[list[str]]]:
    flat = [*predictions, *(text for truths in references for text in truths)]
    if tokenizer == "ptb":
        assert java is not None
        tokens = ptb_tokenize(flat, java)
    elif tokenizer == "plain":
        tokens = [" ".join(plain_words(text)) for text in flat]
    else:
        tokens = [one_line(text) for text in flat]
    rest = iter(tokens[len(predictions) :])
    return tokens[: len(predictions)], [[next(rest) for _ in truths] for truths in references]


def _python_metrics(tokens: list[str], truths: list[list[str]]) -> dict[str, tuple[float, list[float]]]:
    corpus, per_caption = _coco("bleu", "Bleu", tokens, truths, verbose=0)
    results = {f"bleu_{n}": (float(corpus[n - 1]), list(map(float, per_caption[n - 1]))) for n in range(1, 5)}
    results["rouge_l"] = _coco("rouge", "Rouge", tokens, truths)
    results["cider"] = _coco("cider", "Cider", tokens, truths)
    if not math.isfinite(results["cider"][0]):
        raise ValueError("CIDEr-D is not a number for these captions")
    return results


def _coco(module: str, scorer: str, tokens: list[str], truths: list[list[str]], **options: int) -> Any:
    """Run one of pycocoevalcap's Python metrics: (corpus score, per-caption scores)."""
    try:
        scorers = importlib.import_module(f"pycocoevalcap.{module}.{module}")
    except ImportError as error:
        raise ImportError(PYCOCOEVALCAP_REMEDY) from error
    corpus, per_caption = getattr(scorers, scorer)().compute_score(
        dict(enumerate(truths)), {index: [caption] for index, caption in enumerate(tokens)}, **options
    )
    if module == "bleu":
        return corpus, per_caption
    return float(corpus), [float(score) for score in per_caption]


def _count_repeated_ngrams(words: Sequence[str]) -> int:
    return sum(
        count - 1
        for size in (2, 3, 4)
        for count in Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1)).values()
    )
