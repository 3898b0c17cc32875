"""Training of captioners and taggers."""
