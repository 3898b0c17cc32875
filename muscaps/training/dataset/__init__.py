"""A prepared dataset of audio-caption pairs: cleaning, splits, writing, reading, cached features.

Conventions: a *pair* is what a team provides, an *example* a pair that was kept; splits are `train`, `validation` and
`test`; everything random depends on a seed, an epoch and an example's index in the dataset, never on the number of
workers.
"""
