"""Evaluation of a captioner on a dataset's split: caption metrics, decoding statistics, retrieval (section IV-C).

Conventions: references are the split's captions; under the `published` convention references and predictions
are the model's own tokens between `<sos>` and `<eos>`, rare words as `<unk>`, as the paper's code scores them;
the search then has neither constraints nor word reward.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from muscaps.caption import Caption
from muscaps.captioner import Captioner
from muscaps.config import PUBLISHED_DECODING, DecodingOptions
from muscaps.evaluation.caption_metrics import CaptionScorer, CaptionScores
from muscaps.evaluation.caption_text import ConventionName
from muscaps.evaluation.decoding_statistics import DecodingStatistics, decoding_statistics
from muscaps.evaluation.retrieval import Features, RetrievalScores, retrieve
from muscaps.training.dataset.feature_cache import FeatureCache, extractor_digest
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.splits import SPLITS
from muscaps.vocabulary import Vocabulary, tokenize


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What is evaluated, and how captions are decoded."""

    split: str = "test"
    """`train`, `validation` or `test`."""
    beam_sizes: tuple[int, ...] = (1, 5)
    """Beam sizes compared, 1 for greedy; scores of the last one come first in the report."""
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
            raise ValueError(f"num_queries={self.num_queries} and limit={self.limit} leave nothing to evaluate")
        for beam_size in self.beam_sizes:
            DecodingOptions(beam_size=beam_size, max_words=self.max_words)


@dataclass(frozen=True, kw_only=True)
class DecodedSplit:
    """A split's captions by one search, and their scores."""

    beam_size: int
    """Hypotheses kept; 1 is greedy."""
    predictions: tuple[str, ...]
    """One sentence a track."""
    scores: CaptionScores
    """Caption metrics."""
    statistics: DecodingStatistics
    """Statistics of the captions (section IV-D4)."""


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
    """The reference captions of each."""
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
        scorer: The metrics; one scorer can be used for any number of calls.
        features: The split's features, (chunks, feature) a track, where the caller has them already.

    Raises:
        ValueError: The split is empty, or the dataset holds neither audio nor this extractor's features.
    """
    examples = dataset.split(options.split)[: options.limit]
    if not examples:
        raise ValueError(f"{dataset.directory}: the {options.split} split is empty")
    tracks = list(features) if features is not None else split_features(captioner, dataset, examples)
    references = [tuple(example.captions) for example in examples]
    known = [text for example in dataset.split("train") for text in example.captions]
    decoded = [
        _decode(captioner, tracks, references, known, beam_size, options, scorer) for beam_size in options.beam_sizes
    ]
    return Evaluation(
        model_id=captioner.model_id,
        split=options.split,
        track_ids=tuple(example.track_id for example in examples),
        references=tuple(references),
        decoded=tuple(decoded),
        retrieval=retrieve(captioner, tracks, references, num_queries=options.num_queries, seed=options.seed)
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
    if options.convention == "published":
        search = replace(search, **PUBLISHED_DECODING)
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
