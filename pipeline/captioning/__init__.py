"""Captioning of a catalogue on Ray: `caption_catalogue(CaptioningConfig(...))`."""

from pipeline.captioning.config import CaptioningConfig
from pipeline.captioning.run import caption_catalogue
from pipeline.captioning.summary import Progress, RunSummary

__all__ = ["CaptioningConfig", "Progress", "RunSummary", "caption_catalogue"]
