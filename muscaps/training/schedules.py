"""Learning rates by step or progress."""

import math


def linear_decay(step: int, total_steps: int, peak: float) -> float:
    """Fall linearly from `peak` to zero over `total_steps` (section IV-B)."""
    return peak * max(0.0, 1 - step / total_steps)


def warmup_cosine(step: int, progress: float, peak: float, warm_up: int = 200) -> float:
    """Rise linearly for `warm_up` steps or a tenth of the run, then fall along a cosine as `progress` goes to 1."""
    rise = min(1.0, max((step + 1) / warm_up, 10 * progress))
    return peak * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
