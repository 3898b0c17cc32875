"""An output in numbers, and as one self-contained page."""

from pipeline.reading.report.config import ReportConfig
from pipeline.reading.report.page import render, write_report
from pipeline.reading.report.result_tables import FailureReason
from pipeline.reading.report.statistics import Summary, summarise

__all__ = ["FailureReason", "ReportConfig", "Summary", "render", "summarise", "write_report"]
