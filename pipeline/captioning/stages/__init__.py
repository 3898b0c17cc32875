"""The stages of captioning as plain callables over Arrow batches; nothing here imports Ray."""

from pipeline.captioning.stages.caption import CaptionTracks
from pipeline.captioning.stages.decode import fetch_and_decode

__all__ = ["CaptionTracks", "fetch_and_decode"]
