"""Learning-rate schedules: `linear_decay` for the captioner (the paper's), `warmup_cosine` for the tagger.

The objectives call them for every step (`captioner_objective.py`, `tagger_objective.py`)."""

import math


def linear_decay(step: int, total_steps: int, peak: float) -> float:
    """Return a learning rate that falls linearly from `peak` to zero over `total_steps` (paper section IV-B)."""
    return peak * max(0.0, 1 - step / total_steps)


def warmup_cosine(step: int, progress: float, peak: float, warm_up: int = 200) -> float:
    """Return a learning rate that rises linearly to `peak`, then falls along a cosine to zero.

    Args:
        step: Number of the optimisation step, from 0.
        progress: Fraction of the run that is finished, 0 to 1.
        peak: Largest learning rate.
        warm_up: The rise takes this many steps, or a tenth of the run if that is shorter.
    """
    rise = min(1.0, max((step + 1) / warm_up, 10 * progress))
    return peak * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
