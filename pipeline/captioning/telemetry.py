"""Prometheus metrics of a run, exported by Ray and shown by `infra/grafana-dashboard.json`.

Conventions: names start with `muscaps_`. Ray adds the prefix `ray_`, and the suffix `_total` to counters. Every sample
has the tag `run`. Only the driver reports, so that nothing is counted twice. Time is in seconds, summed over workers.
"""

from typing import Any

COUNTERS = {
    "muscaps_tracks": "Tracks finished, by status: captioned or failed.",
    "muscaps_failures": "Failed attempts, by reason: stage/error_type.",
    "muscaps_audio_seconds": "Length of the tracks captioned.",
    "muscaps_stage_seconds": "Work by stage, summed over workers.",
}
GAUGES = {
    "muscaps_tracks_left": "Tracks this run has not processed yet.",
    "muscaps_wall_seconds": "Time since the run began.",
}
_TAGS = {"muscaps_tracks": "status", "muscaps_failures": "reason", "muscaps_stage_seconds": "stage"}


class RunMetrics:
    """The totals of a run as Prometheus metrics; Ray must be running."""

    def __init__(self, run_id: str) -> None:
        """Register the metrics.

        Args:
            run_id: Name of the run, the tag `run` of every sample.
        """
        from ray.util import metrics

        self._run = {"run": run_id}
        self._metrics: dict[str, Any] = {}
        for kind, descriptions in ((metrics.Counter, COUNTERS), (metrics.Gauge, GAUGES)):
            for name, description in descriptions.items():
                tags = ("run", _TAGS[name]) if name in _TAGS else ("run",)
                self._metrics[name] = kind(name, description=description, tag_keys=tags)
        self._reported: dict[tuple[str, str], float] = {}

    def update(
        self,
        *,
        captioned: int,
        failed: int,
        left: int,
        audio_seconds: float,
        wall_seconds: float,
        failures_by_reason: dict[str, int],
        stage_seconds: dict[str, float],
    ) -> None:
        """Report the totals of the run; counters grow by the difference to the last call.

        Args:
            captioned: Tracks captioned.
            failed: Tracks without a caption.
            left: Tracks not processed.
            audio_seconds: Length of the tracks captioned.
            wall_seconds: Time since the run began.
            failures_by_reason: `stage/error_type` -> attempts.
            stage_seconds: Stage -> work, summed over workers.
        """
        self._count("muscaps_tracks", "captioned", captioned)
        self._count("muscaps_tracks", "failed", failed)
        self._count("muscaps_audio_seconds", "", audio_seconds)
        for reason, attempts in failures_by_reason.items():
            self._count("muscaps_failures", reason, attempts)
        for stage, seconds in stage_seconds.items():
            self._count("muscaps_stage_seconds", stage, seconds)
        self._metrics["muscaps_tracks_left"].set(left, tags=self._run)
        self._metrics["muscaps_wall_seconds"].set(wall_seconds, tags=self._run)

    def _count(self, name: str, value: str, total: float) -> None:
        """Raise a counter to a total; a smaller total is ignored, e.g. after a failed track was captioned."""
        new = total - self._reported.get((name, value), 0.0)
        if new > 0:
            tags = self._run | ({_TAGS[name]: value} if name in _TAGS else {})
            self._metrics[name].inc(new, tags=tags)
            self._reported[name, value] = total
