"""Scores of captions against references.

Conventions: every score is a fraction, 0 to 1, except CIDEr-D (0 to 10) and SPIDEr, the mean of SPICE and
CIDEr-D; printed tables show all of them times 100, as papers do. BLEU, ROUGE-L and CIDEr-D come from
pycocoevalcap 1.2, METEOR and SPICE from the jars it ships (paper section IV-C2), so that a number here can
stand beside a published one. The two conventions are never mixed in one table:

- `default`: `<sos>`, `<eos>`, `<pad>` and `<unk>` are removed from predictions and references.
- `published`: they stay, as in the paper's own code. Every caption then shares at least `<sos>` and `<eos>`
  with its reference, which METEOR splits into six matching tokens: about 0.12 becomes 0.29.
"""

import importlib
import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from muscaps.evaluation.caption_text import ConventionName, TokenizerName, apply_convention, tokenize_all
from muscaps.evaluation.java_scorers import PYCOCOEVALCAP_REMEDY, Meteor, find_java
from muscaps.evaluation.spice import spice, spice_obstacle

METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider", "spice", "spider")
"""Names of the caption metrics, in the order of the paper's Tables I and II."""


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """Scores of a set of captions, and the rules they were computed by."""

    corpus: dict[str, float | None]
    """A score per metric over all captions; None where it could not be computed."""
    per_caption: dict[str, list[float] | None]
    """A score per metric and caption, in the order given."""
    missing: dict[str, str]
    """Why a metric is None, with the remedy."""
    notes: tuple[str, ...]
    """What to know before comparing these numbers."""
    convention: ConventionName
    """Whether special tokens were removed."""
    tokenizer: Literal["ptb", "whitespace", "plain"]
    """`ptb` is the usual one; `plain` approximates it where Java is absent."""
    num_captions: int
    """Captions scored."""


class CaptionScorer(AbstractContextManager["CaptionScorer"]):
    """Scores any number of caption sets with one METEOR process.

    Use it as a context manager, or call `close`.
    """

    def __init__(self, *, corenlp: Path | None = None) -> None:
        """Find Java; no process is started yet.

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
            muscaps.evaluation.java_scorers.JavaToolError: A Java scorer failed.
        """
        if convention not in ("default", "published"):
            raise ValueError(f"convention must be 'default' or 'published', not {convention!r}")
        if tokenizer not in ("ptb", "whitespace"):
            raise ValueError(f"tokenizer must be 'ptb' or 'whitespace', not {tokenizer!r}")
        _check_captions(predictions, references)
        notes: list[str] = []
        missing: dict[str, str] = {}
        predictions, references = apply_convention(predictions, references, convention, notes)
        used_tokenizer = self._available_tokenizer(tokenizer, notes)
        tokens, truths = tokenize_all(predictions, references, used_tokenizer, self._java)
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

    def __exit__(self, *exception: object) -> None:
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
    """Score one set of captions; see `CaptionScorer.score` for arguments and errors."""
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
    return _cider(predictions, references)[0]


def cider_of_each(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Compute CIDEr-D of each caption, 0 to 10, as `cider` does."""
    return _cider(predictions, references)[1]


def _cider(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
    _check_captions(predictions, references)
    tokens, truths = tokenize_all(list(predictions), [list(texts) for texts in references], "whitespace", None)
    score, each = _coco("cider", "Cider", tokens, truths)
    return score, each


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
