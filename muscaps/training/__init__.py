"""Training of captioners and taggers: `loop.py` runs an objective, `schedules.py` has the learning rates."""
