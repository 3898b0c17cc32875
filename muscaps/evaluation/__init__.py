"""A captioner measured on a dataset's split: caption metrics, decoding statistics and retrieval (section IV-C).

Conventions: references are the split's captions; under the `published` convention references and predictions
are the model's own tokens between `<sos>` and `<eos>`, rare words as `<unk>`, as the paper's code scores them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from muscaps.caption import Caption
from muscaps.captioner import Captioner
from muscaps.config import DecodingOptions
from muscaps.evaluation.metrics import (
    CaptionScorer,
    CaptionScores,
    ConventionName,
    DecodingStatistics,
    RetrievalScores,
    decoding_statistics,
    retrieval_scores,
)
from muscaps.training.dataset import SPLITS, Example, FeatureCache, PreparedDataset, extractor_digest
from muscaps.vocabulary import UNK, Vocabulary, tokenize

Features = npt.NDArray[np.float32] | npt.NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What is measured, and how captions are found."""

    split: str = "test"
    """`train`, `validation` or `test`."""
    beam_sizes: tuple[int, ...] = (1, 5)
    """Searches compared, 1 for greedy; the last one is the headline."""
    max_words: int = 22
    """Longest caption in words (section IV-B)."""
    convention: ConventionName = "default"
    """Whether special tokens count as words."""
    num_queries: int = 100
    """Captions drawn as queries (section IV-C3); 0 leaves retrieval out."""
    seed: int = 0
    """Seeds the draw of the queries."""
    limit: int | None = None
    """Only this many tracks, the first of the split; None for all."""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {self.split!r}")
        if not self.beam_sizes or len(set(self.beam_sizes)) != len(self.beam_sizes):
            raise ValueError(f"beam_sizes must be different numbers, at least one, not {self.beam_sizes}")
        if self.num_queries < 0 or (self.limit is not None and self.limit < 1):
            raise ValueError(f"num_queries={self.num_queries} and limit={self.limit} leave nothing to measure")
        for beam_size in self.beam_sizes:
            DecodingOptions(beam_size=beam_size, max_words=self.max_words)


@dataclass(frozen=True, kw_only=True)
class DecodedSplit:
    """A split's captions by one search, and what they scored."""

    beam_size: int
    """Hypotheses kept; 1 is greedy."""
    predictions: tuple[str, ...]
    """One sentence a track."""
    scores: CaptionScores
    """Caption metrics."""
    statistics: DecodingStatistics
    """How the captions read (section IV-D4)."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything measured on one split with one captioner."""

    model_id: str
    """The captioner."""
    split: str
    """The split."""
    track_ids: tuple[str, ...]
    """Its tracks, in order."""
    references: tuple[tuple[str, ...], ...]
    """What people wrote about each."""
    decoded: tuple[DecodedSplit, ...]
    """One entry a beam size, in the order asked."""
    retrieval: RetrievalScores | None
    """Search by log P(query | audio); None where not asked for."""


def evaluate(
    captioner: Captioner,
    dataset: PreparedDataset,
    options: EvaluationOptions,
    scorer: CaptionScorer,
    *,
    features: Sequence[Features] | None = None,
) -> Evaluation:
    """Measure a captioner on a split.

    Args:
        captioner: The model.
        dataset: A prepared dataset with audio, or with features by this very extractor.
        options: What to measure.
        scorer: The metrics; one scorer serves any number of calls.
        features: The split's features, (chunks, feature) a track, where the caller has them already.

    Raises:
        ValueError: The split is empty, or the dataset holds neither audio nor this extractor's features.
    """
    examples = dataset.split(options.split)[: options.limit]
    if not examples:
        raise ValueError(f"{dataset.directory}: the {options.split} split is empty")
    tracks = list(features) if features is not None else split_features(captioner, dataset, examples)
    spoken = [tuple(example.captions) for example in examples]
    known = [text for example in dataset.split("train") for text in example.captions]
    decoded = [
        _decode(captioner, tracks, spoken, known, beam_size, options, scorer) for beam_size in options.beam_sizes
    ]
    return Evaluation(
        model_id=captioner.model_id,
        split=options.split,
        track_ids=tuple(example.track_id for example in examples),
        references=tuple(spoken),
        decoded=tuple(decoded),
        retrieval=retrieve(captioner, tracks, spoken, num_queries=options.num_queries, seed=options.seed)
        if options.num_queries
        else None,
    )


def _decode(
    captioner: Captioner,
    tracks: Sequence[Features],
    references: Sequence[Sequence[str]],
    training_captions: Sequence[str],
    beam_size: int,
    options: EvaluationOptions,
    scorer: CaptionScorer,
) -> DecodedSplit:
    search = DecodingOptions(beam_size=beam_size, max_words=options.max_words)
    captions = captioner.caption_features(tracks, search)
    if options.convention == "published":
        predictions = [published_form(caption, options.max_words) for caption in captions]
        truths = [[published_reference(text, captioner.vocabulary) for text in texts] for texts in references]
    else:
        predictions = [caption.text for caption in captions]
        truths = [list(texts) for texts in references]
    return DecodedSplit(
        beam_size=beam_size,
        predictions=tuple(caption.text for caption in captions),
        scores=scorer.score(predictions, truths, convention=options.convention),
        statistics=decoding_statistics(
            [" ".join(caption.words) for caption in captions], training_captions=training_captions
        ),
    )


def published_form(caption: Caption, max_words: int) -> str:
    """Write a caption as the published code scores it: its tokens after `<sos>`, `<eos>` where one was found."""
    end = ["<eos>"] if len(caption.words) < max_words else []
    return " ".join(["<sos>", *caption.words, *end])


def published_reference(text: str, vocabulary: Vocabulary) -> str:
    """Write a reference as the published code scores it: known tokens and `<unk>`, `<sos>` to `<eos>`."""
    return " ".join(vocabulary.words[index] for index in vocabulary.encode(tokenize(text)))


def split_features(captioner: Captioner, dataset: PreparedDataset, examples: Sequence[Example]) -> list[Features]:
    """Return features of tracks, (chunks, feature) each: cached ones of this very extractor, else fresh.

    Raises:
        ValueError: The dataset holds neither this extractor's features nor audio.
    """
    cache = FeatureCache(dataset, extractor_digest(captioner.model.feature_extractor))
    if cache.complete:
        return [cache.read(example) for example in examples]
    if not dataset.has_audio:
        raise ValueError(
            f"{dataset.directory} holds neither audio nor features by the extractor of {captioner.model_id}: "
            "prepare the dataset with audio, or with --extractor and this checkpoint"
        )
    return [captioner.features([np.asarray(dataset.audio(example))])[0] for example in examples]


def retrieve(
    captioner: Captioner,
    tracks: Sequence[Features],
    references: Sequence[Sequence[str]],
    *,
    num_queries: int = 100,
    seed: int = 0,
) -> RetrievalScores:
    """Search for tracks by their own captions (section IV-C3).

    Args:
        captioner: The model.
        tracks: Features, (chunks, feature) each.
        references: Captions of each track; the first one may become a query.
        num_queries: Queries drawn, at most one a track.
        seed: Seeds the draw.
    """
    count = min(num_queries, len(tracks))
    targets = np.sort(np.random.default_rng(seed).choice(len(tracks), size=count, replace=False))
    queries = [captioner.vocabulary.encode(tokenize(references[target][0])) for target in targets]
    return retrieval_scores(
        query_log_probs(captioner, tracks, queries),
        targets,
        queries_with_unk=sum(UNK in query for query in queries),
    )


@torch.inference_mode()
def query_log_probs(
    captioner: Captioner, tracks: Sequence[Features], queries: Sequence[Sequence[int]], *, batch: int = 256
) -> npt.NDArray[np.float64]:
    """Score every query on every track by log P(words, `<eos>` | audio) (Eq. 8); each track is encoded once.

    Args:
        captioner: The model.
        tracks: Features, (chunks, feature) each.
        queries: Ids from `<sos>` to `<eos>`.
        batch: Tracks scored at once.

    Returns:
        Natural logarithms, (queries, tracks).
    """
    scores = np.zeros((len(queries), len(tracks)))
    for start in range(0, len(tracks), batch):
        padded, mask = _pad(tracks[start : start + batch], captioner.device)
        encoded = captioner.model.encode(padded, mask)
        rows = mask.shape[0]
        for number, query in enumerate(queries):
            state, total = captioner.model.start(encoded), torch.zeros(rows, dtype=torch.float64)
            for word, following in zip(query, query[1:], strict=False):
                words = torch.full((rows,), word, device=captioner.device)
                log_probs, state = captioner.model.step(encoded, state, words)
                total += log_probs[:, following].double().cpu()
            scores[number, start : start + rows] = total.numpy()
    return scores


def _pad(tracks: Sequence[Features], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack tracks: (batch, chunks, feature) and a mask, (batch, chunks)."""
    longest = max(len(track) for track in tracks)
    padded = np.zeros((len(tracks), longest, tracks[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(tracks), longest), dtype=bool)
    for row, track in enumerate(tracks):
        padded[row, : len(track)] = track
        mask[row, : len(track)] = True
    return torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device)


def read_captions(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read `{"prediction": ..., "references": [...]}` lines.

    Returns:
        Predictions and references, one entry a line; empty lines are skipped.

    Raises:
        ValueError: A line is something else; the message names it.
    """
    predictions, references = [], []
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error})") from None
        prediction = row.get("prediction") if isinstance(row, dict) else None
        truths = row.get("references") if isinstance(row, dict) else None
        if not isinstance(prediction, str):
            raise ValueError(f'{path}, line {number}: needs "prediction", a string')
        if not isinstance(truths, list) or not truths or not all(isinstance(text, str) for text in truths):
            raise ValueError(f'{path}, line {number}: needs "references", a list of one or more strings')
        predictions.append(prediction)
        references.append(truths)
    if not predictions:
        raise ValueError(f"{path}: holds no captions")
    return predictions, references


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    # Only line feeds end a line: a caption may hold U+2028 unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def scores_as_json(scores: CaptionScores, statistics: DecodingStatistics) -> dict[str, Any]:
    """Put scores into the object `muscaps evaluate --json` prints: metrics by name, 0 to 1, then their terms."""
    return {
        **scores.corpus,
        "num_captions": scores.num_captions,
        "convention": scores.convention,
        "tokenizer": scores.tokenizer,
        "missing": scores.missing,
        "notes": list(scores.notes),
        "statistics": asdict(statistics),
    }


def evaluation_as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Put an evaluation into the object `muscaps evaluate --json` prints; the headline is the last beam size."""
    headline = evaluation.decoded[-1]
    return {
        **scores_as_json(headline.scores, headline.statistics),
        "model_id": evaluation.model_id,
        "split": evaluation.split,
        "beam_size": headline.beam_size,
        "by_beam_size": {
            str(decoded.beam_size): {**decoded.scores.corpus, "statistics": asdict(decoded.statistics)}
            for decoded in evaluation.decoded
        },
        "retrieval": None if evaluation.retrieval is None else asdict(evaluation.retrieval),
    }
