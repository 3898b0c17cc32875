"""What `muscaps train` prints at its end, and the warning of a captioner that cannot be used."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.preparation_report import TRAINED_PAIRS

MIN_CIDER = 0.05
"""CIDEr (0 to 10) of greedy captions below which a captioner is useless: they share hardly a phrase with references."""
MIN_WORDS = 4
"""Words per caption below which captions are useless: the shortest sentence of the bundled captioner has five."""
MIN_DISTINCT = 0.2
"""Fraction of different captions below which the captions do not depend on the track."""


def result_line(metrics: Mapping[str, Any]) -> str:
    """Return the line about the best epoch."""
    return (
        f"best epoch {metrics['epoch']} of {metrics['epochs']}, on the validation split: "
        f"loss {metrics['validation_loss']:.4f}, greedy CIDEr x 100 {100 * metrics['validation_cider']:.1f}"
    )


def useless_captioner_warning(metrics: Mapping[str, Any], num_training_pairs: int) -> Iterator[str]:
    """Yield a warning with reason and remedy if the captions of a training from nothing cannot be used."""
    cider, words, distinct = (metrics.get(f"validation_{name}", 1.0) for name in ("cider", "words", "distinct"))
    found = []
    if cider < MIN_CIDER:
        found.append(f"CIDEr x 100 is {100 * cider:.1f}")
    if words < MIN_WORDS:
        found.append(f"captions have {words:.1f} words on average")
    if distinct < MIN_DISTINCT:
        found.append(f"only {distinct:.0%} of them differ")
    if not found:
        return
    yield f"warning: this captioner is of no use: on the validation split {', '.join(found)}."
    if num_training_pairs < TRAINED_PAIRS:
        yield (
            f"  The reason: {num_training_pairs} training pairs; from nothing it takes at least {TRAINED_PAIRS:,}. "
            "Start from a captioner, in another folder: `muscaps train DATASET OUT --from bundled`"
        )
    else:
        yield "  Train for longer or with another --learning-rate, or start from a captioner: `--from bundled`"
