"""Comparison of an experiment with the paper's three statements (section IV-D): confirmed or contradicted."""

from muscaps.evaluation.caption_metrics import METRICS
from pipeline.paper.results import Results
from pipeline.paper.tables import Measure


def findings(results: Results) -> list[str]:
    """Return one sentence per statement of the paper, with a verdict and numbers (section IV-D)."""
    return [
        finding for finding in (_pre_training(results), _fusion(results), _beam_search(results)) if finding is not None
    ]


def _cider(results: Results, row: str) -> Measure | None:
    return results.captions(row, False, "default")[METRICS.index("cider")] if results.has(row) else None


def _verdict(difference: float, deviation: float) -> str:
    """Return the verdict on a difference: it must exceed two standard deviations, as in the paper's tables."""
    if abs(difference) <= 2 * deviation:
        return "not decided"
    return "confirmed" if difference > 0 else "contradicted"


def _pre_training(results: Results) -> str | None:
    with_it, without = _cider(results, "early"), _cider(results, "scratch")
    if with_it is None or without is None:
        return None
    difference = with_it.mean - without.mean
    verdict = _verdict(difference, max(with_it.deviation, without.deviation))
    return (
        f'"Pre-training helps": **{verdict}**. CIDEr {with_it.mean:.1f} with, {without.mean:.1f} without '
        f"({difference:+.1f}; standard deviations {with_it.deviation:.1f} and {without.deviation:.1f})."
    )


def _fusion(results: Results) -> str | None:
    found = {row: measure for row in ("early", "late", "attention") if (measure := _cider(results, row)) is not None}
    if len(found) < 2:
        return None
    best, worst = (pick(found, key=lambda row: found[row].mean) for pick in (max, min))
    spread = found[best].mean - found[worst].mean
    deviation = max(measure.deviation for measure in found.values())
    verdict = "confirmed" if spread <= 2 * deviation else "contradicted"
    numbers = ", ".join(f"{row} {measure.mean:.1f}" for row, measure in found.items())
    return (
        f'"Fusion and attention hardly matter": **{verdict}**. CIDEr {numbers}; {best} leads {worst} by '
        f"{spread:.1f}, two standard deviations are {2 * deviation:.1f}."
    )


def _beam_search(results: Results) -> str | None:
    parts, better = [], []
    for row in ("early", "late", "attention"):
        if not results.has(row):
            continue
        for name, label in (("unk_per_caption", "`<unk>`"), ("repetitions_per_caption", "repetitions")):
            greedy, beam = (results.statistic(row, beam, name) for beam in (False, True))
            if greedy is None or beam is None:
                continue
            change = f"{100 * (beam.mean / greedy.mean - 1):+.0f}%" if greedy.mean > 0 else "none to reduce"
            parts.append(f"{row} {label} {greedy.mean:.3f} to {beam.mean:.3f} ({change})")
            if greedy.mean > 0 or beam.mean > 0:
                better.append(beam.mean < greedy.mean)
    if not parts:
        return None
    verdict = (
        "not decided" if not better else "confirmed" if all(better) else "contradicted" if not any(better) else "mixed"
    )
    return f'"Beam search reduces `<unk>` and repetition": **{verdict}**. Per caption: {"; ".join(parts)}.'
