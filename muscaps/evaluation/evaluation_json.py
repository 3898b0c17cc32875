"""Scores and evaluations as JSON objects."""

from dataclasses import asdict
from typing import Any

from muscaps.evaluation.caption_metrics import CaptionScores
from muscaps.evaluation.decoding_statistics import DecodingStatistics
from muscaps.evaluation.split_evaluation import Evaluation


def scores_as_json(scores: CaptionScores, statistics: DecodingStatistics) -> dict[str, Any]:
    """Return what `muscaps evaluate --json` prints for captions: metrics by name, then how they were computed."""
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
    """Return what `muscaps evaluate --json` prints for a checkpoint; the last beam size is at the top level."""
    last = evaluation.decoded[-1]
    return {
        **scores_as_json(last.scores, last.statistics),
        "model_id": evaluation.model_id,
        "split": evaluation.split,
        "beam_size": last.beam_size,
        "by_beam_size": {
            str(decoded.beam_size): {**decoded.scores.corpus, "statistics": asdict(decoded.statistics)}
            for decoded in evaluation.decoded
        },
        "retrieval": None if evaluation.retrieval is None else asdict(evaluation.retrieval),
    }
