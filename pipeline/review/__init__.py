"""Decisions of people about captions: from the report page into an output, and from there into exports and training."""
