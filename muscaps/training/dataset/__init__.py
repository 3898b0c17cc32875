"""A prepared dataset of audio-caption pairs: cleaning, splits, writing, reading, cached features.

Conventions: a *pair* is audio with captions as a team provides it; an *example* is a pair that cleaning kept. Splits
    are
`train`, `validation` and `test`. Random numbers depend on a seed, an epoch and the index of an example, never on the
number of workers.
"""
