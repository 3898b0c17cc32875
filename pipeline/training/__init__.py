"""Datasets and training on Ray."""
