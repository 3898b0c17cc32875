"""Captioning of a catalogue on Ray: `caption_catalogue(CaptioningConfig(...))`."""

from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.record import Progress, RunSummary
from pipeline.captioning.run import caption_catalogue

__all__ = ["CaptioningConfig", "Progress", "RunSummary", "caption_catalogue"]
