"""Scores of captions, of search and of tags, and the evaluation of a checkpoint on a dataset's split (section IV-C)."""
