"""What `muscaps train --from` prints about the captioner before and after training."""

from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = {
    "cider": "CIDEr x 100",
    "facts_precision": "claims that a reference makes x 100",
    "faulty_captions": "captions with <unk>, a word twice, or none x 100",
    "new_word_pairs": "word pairs in no training caption x 100",
}
_VERDICTS = {
    "better": "better than before training",
    "worse": "WORSE than before training; `muscaps caption` will warn of it",
    "cannot tell": "cannot tell whether better or worse than before training",
}


def fine_tuning_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield the blend, the measures with intervals and the verdict; nothing where there was no start."""
    if "comparison" not in metrics:
        return
    found, blend = metrics["comparison"], metrics["blend"]
    remedy = "" if blend == 1 else "; --blend 1 keeps all of it, with what it costs in facts and language"
    yield f"weights: {blend:.0%} of the training{remedy}"
    yield f"before and after on {found['num_pairs']} pairs ({found['tested_on']}), 95 % intervals of the difference:"
    for one in found["measures"]:
        low, high = (100 * value for value in one["interval"])
        values = f"{100 * one['before']:.1f} -> {100 * one['after']:.1f} ({low:+.1f} to {high:+.1f})"
        yield f"  {_NAMES[one['name']]}: {values}"
    yield f"verdict: {_VERDICTS[found['verdict']]}"
