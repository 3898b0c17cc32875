"""Run configurations that commands take from recipes."""

import dataclasses
import json

import pytest

from jobs.recipes import retry_failed
from muscaps.config import DecodingOptions
from pipeline.captioning import CaptioningConfig
from pipeline.output import runs


def test_retry_uses_the_settings_of_the_last_run(monkeypatch, tmp_path):
    last = CaptioningConfig(
        catalogue="tracks.csv",
        output=str(tmp_path),
        options=DecodingOptions(beam_size=3),
        max_chunks=20,
        decode_only_needed=True,
        precision="bfloat16",
        save_features=True,
        limit=5,
    )
    record = json.loads(json.dumps({"config": dataclasses.asdict(last)}))
    monkeypatch.setattr(runs, "last_run", lambda output: record)
    again = retry_failed("tracks.csv", str(tmp_path), gpus=0)
    assert again == dataclasses.replace(last, only_failed=True, max_error_rate=1.0, gpus=0, limit=None)
    del record["config"]["decode_only_needed"], record["config"]["precision"]  # as older releases wrote it
    again = retry_failed("tracks.csv", str(tmp_path))
    assert (again.decode_only_needed, again.precision, again.max_chunks) == (False, "float32", 20)


def test_retry_without_a_run_is_rejected(monkeypatch):
    monkeypatch.setattr(runs, "last_run", lambda output: None)
    with pytest.raises(ValueError, match="no run has written there"):
        retry_failed("tracks.csv", "out")
