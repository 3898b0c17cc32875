"""Comparison of an experiment with the paper's statements (section IV-D): confirmed, contradicted or not decided.

A difference is decided if its 95% interval excludes 0 (Welch; of the differences of each seed, if the same trainings
are compared in two ways). "Makes no difference" is confirmed if the interval lies within `MARGIN` of the reference, and
"does not raise" if its upper end does. Otherwise the statement is not decided,
and the number of seeds is given that would decide it if means and deviations stayed the same.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from muscaps.evaluation.caption_metrics import METRICS
from pipeline.paper.differences import MAX_SEEDS, Difference
from pipeline.paper.paper_tables import beam_label
from pipeline.paper.plan import SYSTEMS
from pipeline.paper.results import GREEDY, Results
from pipeline.paper.tables import Measure

MARGIN = 0.1
"""Differences below this share of the reference do not matter."""
Verdict = Callable[[Difference], str]


def is_better(difference: Difference) -> str:
    """Return the verdict on "the first is better"."""
    if difference.decided:
        return "confirmed" if difference.mean > 0 else "contradicted"
    return _undecided(difference, abs(difference.mean))


def is_not_better(difference: Difference) -> str:
    """Return the verdict on "the first is not better than the second"."""
    half, margin = difference.half_interval, _margin(difference)
    if half is not None and difference.mean + half <= margin:
        return "confirmed"
    if difference.decided:
        return "contradicted"
    return _undecided(difference, max(difference.mean, margin - difference.mean))


def is_no_different(difference: Difference) -> str:
    """Return the verdict on "the first is as good as the second"."""
    half, margin = difference.half_interval, _margin(difference)
    if half is not None and abs(difference.mean) + half <= margin:
        return "confirmed"
    if difference.decided:
        return "contradicted"
    return _undecided(difference, max(abs(difference.mean), margin - abs(difference.mean)))


def _margin(difference: Difference) -> float:
    return MARGIN * abs(difference.second.mean)


def _undecided(difference: Difference, wanted: float) -> str:
    if difference.half_interval is None:
        return "not decided (several seeds needed)"
    seeds = difference.seeds_for(wanted)
    return f"not decided ({f'about {seeds}' if seeds else f'more than {MAX_SEEDS}'} seeds needed)"


def findings(results: Results) -> list[str]:
    """Return one sentence per statement of the paper, with a verdict and numbers (section IV-D)."""
    counterpart = "early" if results.config.scratch == results.config.ablation else results.config.scratch
    pretrained = dict.fromkeys((counterpart, "early"))
    found = [
        *(_compared(results, "Pre-training helps", row, "scratch", is_better) for row in pretrained),
        _compared(results, "MusCaps beats the DCASE baseline", "early", "dcase", is_better),
        _compared(results, "Harmonic CNN is better than musicnn", "hcnn", "musicnn", is_better),
        _compared(results, "Late fusion makes no difference", "late", "early", is_no_different),
        _compared(results, "Attention makes no difference", "attention", "early", is_no_different),
        _beam_cider(results, "early", "Beam search raises CIDEr of early fusion", is_better),
        *(
            _beam_cider(results, row, f"Beam search does not raise CIDEr of {row} fusion", is_not_better)
            for row in ("late", "attention")
        ),
        _beam_search(results),
        *(_retrieval(results, row) for row in pretrained),
        _agreement(results),
    ]
    return [finding for finding in found if finding is not None]


def _judged(
    statement: str, verdict: Verdict, what: str, ours: Measure | None, theirs: Measure | None, *, paired: bool = False
) -> str | None:
    """Return the sentence about a statement; None if one of the measures is missing."""
    if ours is None or theirs is None:
        return None
    difference = Difference(first=ours, second=theirs, paired=paired)
    return f'"{statement}": **{verdict(difference)}**. {what}: {difference}.'


def _compared(results: Results, statement: str, first: str, second: str, verdict: Verdict) -> str | None:
    what = f"CIDEr of {results.label(first)} against {results.label(second)}"
    return _judged(statement, verdict, what, results.cider(first), results.cider(second))


def _beam_cider(results: Results, row: str, statement: str, verdict: Verdict) -> str | None:
    size = results.paper_beam(row)
    if not results.has(row) or size not in results.beam_sizes(row):
        return None
    what = f"CIDEr of {beam_label(size)} against greedy"
    return _judged(statement, verdict, what, results.cider(row, size), results.cider(row), paired=True)


def _beam_search(results: Results) -> str | None:
    parts, better = [], []
    for row in ("early", "late", "attention"):
        if not results.has(row) or results.paper_beam(row) not in results.beam_sizes(row):
            continue
        for name, label in (("unk_per_caption", "`<unk>`"), ("repetitions_per_caption", "repetitions")):
            greedy, beam = (results.statistic(row, size, name) for size in (GREEDY, results.paper_beam(row)))
            if greedy is None or beam is None:
                continue
            change = f"{100 * (beam.mean / greedy.mean - 1):+.0f}%" if greedy.mean > 0 else "none to reduce"
            parts.append(f"{row} {label} {greedy.mean:.3f} to {beam.mean:.3f} ({change})")
            if greedy.mean > 0 or beam.mean > 0:
                better.append(beam.mean < greedy.mean)
    if not parts:
        return None
    verdict = (
        "not decided (nothing to reduce)"
        if not better
        else "confirmed"
        if all(better)
        else "contradicted"
        if not any(better)
        else "mixed"
    )
    return f'"Beam search reduces `<unk>` and repetition": **{verdict}**. Per caption: {"; ".join(parts)}.'


def _retrieval(results: Results, row: str) -> str | None:
    if not results.has(row) or not results.has("scratch"):
        return None
    what = f"Recall@10 of {results.label(row)} against {results.label('scratch')}"
    ours, theirs = results.retrieval(row)[2], results.retrieval("scratch")[2]
    return _judged("Pre-training helps search", is_better, what, ours, theirs)


def _agreement(results: Results) -> str | None:
    """Say whether CIDEr orders the systems as the truth of their claims does."""
    rows = [row for row in SYSTEMS if results.has(row)]
    scores = [results.captions(row, GREEDY, "default") for row in rows]
    ciders = [found[METRICS.index("cider")] for found in scores]
    parts = []
    for name, place in (("precision", -2), ("recall", -1)):
        truths = [found[place] for found in scores]
        pairs = [(ours.mean, truth.mean) for ours, truth in zip(ciders, truths, strict=True) if ours and truth]
        if len(pairs) >= 3:
            correlation = rank_correlation([pair[0] for pair in pairs], [pair[1] for pair in pairs])
            parts.append(f"{correlation:+.2f} with the {name} of facts ({len(pairs)} systems)")
    return f"CIDEr and truth: rank correlation of CIDEr over systems, greedy, is {', '.join(parts)}." if parts else None


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation; equal values have their mean rank; NaN if one has no differences."""
    ours, theirs = (_ranks(np.asarray(values, dtype=float)) for values in (first, second))
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return math.nan
    return float(np.corrcoef(ours, theirs)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    below = (values[:, None] > values[None, :]).sum(axis=1)
    equal = (values[:, None] == values[None, :]).sum(axis=1)
    return np.asarray(below + (equal + 1) / 2)
