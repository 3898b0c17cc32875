"""What the captions of a validation split tell about a captioner in training.

Conventions: captions are greedy, of the model alone, with the word constraints of a trained checkpoint: no `<unk>`, no
repeated content word. Fractions, not percentages; NaN where nothing was measured.
"""

import math
from collections.abc import Sequence

from muscaps.evaluation.caption_metrics import cider
from muscaps.vocabulary import tokenize

NOT_DECODED = {"validation_cider": math.nan, "validation_words": math.nan, "validation_distinct": math.nan}
"""The metrics of an epoch without captions."""


def caption_measures(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Measure captions of a validation split.

    Args:
        captions: Words separated by spaces, one caption per track.
        references: Captions of each track.

    Returns:
        `validation_cider`, CIDEr-D from 0 to 10, NaN without the `evaluate` extra; `validation_words`, words per
        caption; `validation_distinct`, the fraction of the captions that differ.
    """
    if not captions:
        return NOT_DECODED
    truths = [[" ".join(tokenize(text)) for text in texts] for texts in references]
    try:
        found = cider([text or "<unk>" for text in captions], truths)
    except ImportError:
        found = math.nan
    return {
        "validation_cider": found,
        "validation_words": sum(len(text.split()) for text in captions) / len(captions),
        "validation_distinct": len(set(captions)) / len(captions),
    }
