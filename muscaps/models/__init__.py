"""The networks of the paper, one per file; `architectures.py` builds any of them from a configuration."""
