"""Makes the bundled captioner; run it with `python -m pipeline.training.bundled`."""
