"""Figures of the report and the text of its page; tests/integration/test_report_page.py opens it in a browser."""

import base64
import json
import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.output.newest import OutputError
from pipeline.output.schema import CAPTION_SCHEMA
from pipeline.reading.report import ReportConfig, render, summarise, write_report
from pipeline.reading.report.sampling import TrackSample, by_certainty
from pipeline.reading.report.spectrograms import spectrogram
from tests.finished_output import (
    RUN_ID,
    STARTED,
    caption_row,
    failure_row,
    write_captions,
    write_failures,
    write_rows,
    write_run,
)


def page_of(output: Path, **options: object) -> str:
    file = output / "report.html"
    write_report(ReportConfig(output=str(output), file=str(file), **options))
    return file.read_text()


def data_of(page: str) -> dict:
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(data)


def test_only_the_newest_failure_of_an_uncaptioned_track_counts(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(n) for n in range(10)])
    rows = [
        failure_row(1, track_id="t000001"),  # captioned afterwards
        failure_row(2, track_id="lost", error_type="throttled", stage="fetch", retryable=True),
        failure_row(3, track_id="lost", error_type="not_found", stage="fetch", retryable=False, attempt=2),
        failure_row(4, track_id="broken", error_type="not_audio", stage="decode", retryable=False),
    ]
    write_failures(tmp_path, rows)
    summary, shown = summarise(str(tmp_path), max_tracks=100)
    assert (summary.tracks, summary.failed, shown.num_rows) == (10, 2, 10)
    assert {(r.stage, r.error_type, r.count) for r in summary.failures} == {
        ("decode", "not_audio", 1),
        ("fetch", "not_found", 1),
    }
    assert summary.as_json()["failures"][0]["count"] == 1


def test_figures_cover_all_tracks_and_the_table_an_even_sample(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(n) for n in range(3_000)])
    summary, shown = summarise(str(tmp_path), max_tracks=300)
    assert summary.tracks == summary.caption_lengths.total() == summary.log_probs.size == 3_000
    numbers = [int(track_id[1:]) for track_id in shown["track_id"].to_pylist()]
    assert len(set(numbers)) == 300
    assert numbers == sorted(numbers)
    assert 1_350 < np.mean(numbers) < 1_650
    page = page_of(tmp_path, max_tracks=300)
    assert "300 of 3,000 tracks are shown" in page
    assert len(data_of(page)["tracks"]["track_id"]) == 300


def test_a_sample_has_the_least_certain_tracks_without_a_review(tmp_path: Path) -> None:
    evidence = [[{"word": "piano", "tag": "piano", "score": 0.1 * n}] for n in range(6)]
    write_captions(tmp_path, [*(caption_row(n, evidence=evidence[n]) for n in range(6)), caption_row(6, evidence=None)])
    sample = TrackSample(3, keys=by_certainty, without={"t000001"})
    _, shown = summarise(str(tmp_path), sample=sample)
    assert shown["track_id"].to_pylist() == ["t000000", "t000002", "t000003"]


def test_another_seed_draws_another_sample(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(n) for n in range(200)])
    drawn = [summarise(str(tmp_path), sample=TrackSample(20, seed=seed))[1]["track_id"] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_a_tag_is_on_as_exports_count_it(tmp_path: Path) -> None:
    tags = [("mood", "dark", 0.55), ("mood", "bright", 0.6), ("energy", "high", 0.497)]
    row = caption_row(1, tags=[dict(zip(("facet", "tag", "score"), tag, strict=True)) for tag in tags])
    write_captions(tmp_path, [row])
    data = data_of(page_of(tmp_path))
    assert data["tags"] == [["mood", "dark", "dark"], ["mood", "bright", "bright"], ["energy", "high", "high"]]
    assert data["details"]["0"]["tags"] == [0, 55, 0, 1, 60, 1, 2, 50, 0]


def test_tags_have_the_customers_words_and_keep_our_names_for_reviews(tmp_path: Path) -> None:
    tags = [("genre", "jazz", 0.9), ("genre", "blues", 0.7), ("genre", "rock", 0.6), ("vocals", "none", 0.8)]
    row = caption_row(1, tags=[dict(zip(("facet", "tag", "score"), tag, strict=True)) for tag in tags])
    write_captions(tmp_path, [row])
    words = tmp_path / "words.csv"
    words.write_text("facet,tag,term,drop\ngenre,jazz,Jazz & Blues,\ngenre,blues,Jazz & Blues,\ngenre,rock,,yes\n")
    data = data_of(page_of(tmp_path, taxonomy=str(words)))
    assert data["tags"] == [["genre", "jazz", "Jazz & Blues"], ["vocals", "none", "instrumental"]]


def test_word_counts_count_a_caption_once_and_skip_stop_words(tmp_path: Path) -> None:
    write_captions(
        tmp_path,
        [caption_row(1, caption="a soft soft piano"), caption_row(2, caption="The Piano and drums"), caption_row(3)],
    )
    summary, _ = summarise(str(tmp_path))
    assert summary.words["piano"] >= 2
    assert summary.words["soft"] <= 2
    assert not {"a", "the", "and"} & set(summary.words)


def test_strings_cannot_end_the_script_or_become_markup(tmp_path: Path) -> None:
    nasty = "</script><script>alert(1)</script><!-- \u2028 & <b>'\""
    write_captions(tmp_path, [caption_row(1, track_id=nasty, title=nasty, artist=nasty, caption=nasty, label=nasty)])
    write_failures(tmp_path, [failure_row(1, message=nasty, track_id=nasty + "x", error_type=nasty)])
    write_run(tmp_path, note=nasty, reason=nasty)
    page = page_of(tmp_path, title=nasty)
    assert "alert(1)</script>" not in page
    assert page.count("</script>") == 2
    tracks = data_of(page)
    assert tracks["tracks"]["caption"] == [nasty]
    assert tracks["details"]["0"]["catalogue"]["label"] == nasty


def test_the_page_makes_no_network_requests(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(n) for n in range(3)])
    page = page_of(tmp_path)
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page) == []
    assert re.findall(r"url\(|@import|https?://", page) == []


def test_the_security_policy_allows_only_the_pages_script(tmp_path: Path) -> None:
    import hashlib

    write_captions(tmp_path, [caption_row(1)])
    page = page_of(tmp_path)
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_attention_rows_are_scaled_to_their_peak_and_even_rows_are_pale(tmp_path: Path) -> None:
    weights = [[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1 / 3, 1 / 3, 1 / 3]]
    write_captions(tmp_path, [caption_row(1, caption="soft piano", attention=weights)])
    attention = data_of(page_of(tmp_path))["details"]["0"]["attention"]
    assert attention["words"] == ["soft", "piano", "(end)"]
    assert attention["peaks"] == [0.5, 0.8, 0.3333]
    values = np.frombuffer(base64.b64decode(attention["data"]), np.uint8).reshape(3, 3)
    assert values.tolist() == [[191, 96, 96], [32, 32, 255], [128, 128, 128]]


def test_requested_but_missing_attention_is_marked(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1), caption_row(2, run_id="earlier"), caption_row(3, attention=[[1.0]])])
    write_run(tmp_path, config={"options": {"attention": True}})
    write_run(tmp_path, run_id="earlier", config={"options": {"attention": False}})
    details = data_of(page_of(tmp_path))["details"]
    assert [details[n].get("no_attention", False) for n in "012"] == [True, False, False]


def test_neighbouring_segments_with_one_caption_are_merged(tmp_path: Path) -> None:
    captions = ("piano", "piano", "drums", "piano")
    segments = [
        {"start_s": 30.0 * n, "end_s": 30.0 * n + 30, "caption": text, "log_prob": -3.0}
        for n, text in enumerate(captions)
    ]
    write_captions(tmp_path, [caption_row(1, segments=segments)])
    shown = data_of(page_of(tmp_path))["details"]["0"]["segments"]
    assert shown == [[0.0, 60.0, "piano"], [60.0, 90.0, "drums"], [90.0, 120.0, "piano"]]


def test_attention_rows_are_named_by_tokens(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1, caption="Soft, bright mid-tempo piano.", attention=[[0.5, 0.5]] * 6)])
    attention = data_of(page_of(tmp_path))["details"]["0"]["attention"]
    assert attention["words"] == ["soft", ",", "bright", "mid-tempo", "piano", "(end)"]


def test_attention_rows_without_a_matching_word_are_numbered(tmp_path: Path) -> None:
    rows = [
        caption_row(1, caption="a", attention=[[0.5, 0.5]] * 4),
        caption_row(2, caption="a b", attention=[[1.0]] * 2),
    ]
    write_captions(tmp_path, rows)
    details = data_of(page_of(tmp_path))["details"]
    assert details["0"]["attention"]["words"] == ["word 1", "word 2", "word 3", "(end)"]
    assert details["1"]["attention"]["words"] == ["a", "b"]  # the hypothesis is unfinished


def test_ragged_attention_and_nan_are_left_out(tmp_path: Path) -> None:
    rows = [
        caption_row(1, attention=[[0.5], [0.5, 0.5]], log_prob=float("nan")),
        caption_row(2, log_prob=float("-inf"), duration_s=0.0, caption=""),
    ]
    write_captions(tmp_path, rows)
    data = data_of(page_of(tmp_path))
    assert data["tracks"]["log_prob"] == [None, None]
    assert "attention" not in data["details"]["0"]


def test_a_spectrogram_shows_a_tone_at_its_time_and_frequency() -> None:
    seconds = np.arange(16_000 * 20) / 16_000
    tone = np.where(seconds < 10, np.sin(2 * np.pi * 440 * seconds), np.sin(2 * np.pi * 3520 * seconds))
    picture = spectrogram((tone * 20_000).astype(np.int16))
    assert picture.shape == (72, 312)
    low, high = picture[:, 50].argmax(), picture[:, 250].argmax()
    mels = 2595 * np.log10(1 + np.array([30, 440, 3520, 8000]) / 700)
    expected = (mels[1:3] - mels[0]) / (mels[3] - mels[0]) * 73 - 1
    assert abs(low - expected[0]) < 1.5
    assert abs(high - expected[1]) < 1.5
    assert spectrogram(np.zeros(48_000, np.int16)).max() == 0


def test_local_audio_is_linked_relative_to_the_page_and_gets_a_spectrogram(tmp_path: Path) -> None:
    audio = tmp_path / "my audio"
    audio.mkdir()
    soundfile.write(audio / "a#1.wav", 0.1 * np.sin(np.arange(48_000) / 5), 16_000)
    rows = [
        caption_row(1, uri=str(audio / "a#1.wav")),
        caption_row(2, uri="s3://bucket/x.mp3"),
        caption_row(3, uri="https://host.example/x.mp3"),
        caption_row(4, uri="https://user:secret@host.example/x.mp3?token=1"),
        caption_row(5, uri=str(audio / "gone.wav")),
    ]
    write_captions(tmp_path / "output", rows)
    file = tmp_path / "pages" / "report.html"
    file.parent.mkdir()
    write_report(ReportConfig(output=str(tmp_path / "output"), file=str(file), max_spectrograms=1))
    data = data_of(file.read_text())
    assert data["tracks"]["audio"] == [
        "../my%20audio/a%231.wav", None, "https://host.example/x.mp3", None, None,
    ]  # fmt: skip
    assert data["details"]["0"]["spectrogram"]["bands"] == 72
    assert "secret" not in file.read_text()
    assert "token" not in file.read_text()


def test_s3_links_are_signed_only_with_listen_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-k3y")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    write_captions(tmp_path, [caption_row(1)])
    page = page_of(tmp_path, listen_hours=2, max_spectrograms=0)
    [link] = data_of(page)["tracks"]["audio"]
    assert "Expires=7200" in link or "X-Amz-Expires" in link
    assert "s3cr3t" not in page


def test_throughput_counts_every_row_of_a_run_and_its_failures(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(n, created_at=STARTED + timedelta(seconds=n)) for n in range(120)])
    write_failures(tmp_path, [failure_row(n, created_at=STARTED + timedelta(seconds=3)) for n in range(4)])
    write_run(tmp_path, wall_seconds=240.0, status="finished", captioned=120, failed=4, left=0,
              stage_seconds={"decode": 30.0, "features": 90.0}, config={"options": {"beam_size": 5}})  # fmt: skip
    summary, shown = summarise(str(tmp_path), max_tracks=10)
    page = render(summary, shown, ReportConfig(output=str(tmp_path), file="x.html", max_spectrograms=0))
    assert f"Throughput of run {RUN_ID}: 120 captions and 4 failures from 21:30 to 21:31 UTC" in page
    assert "30.0 captions a minute on average" in page
    assert re.search(r"<strong>30/min</strong>", page)
    assert sum(int(n) for n in re.findall(r'data-tip="21:3\d:\d\d  (\d+) captioned', page)) == 120
    assert 'data-tip="features: 90 s"' in page or 'data-tip="features: 2 min"' in page


def test_an_output_with_failures_only_has_a_page(tmp_path: Path) -> None:
    write_failures(tmp_path, [failure_row(n) for n in range(3)])
    page = page_of(tmp_path)
    assert "<strong>0</strong>" in page
    assert data_of(page)["tracks"]["track_id"] == []


def test_invalid_configurations_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="neither captions nor failures"):
        summarise(str(tmp_path))
    with pytest.raises(ValueError, match=r"must end in \.html"):
        ReportConfig(output="x", file="report.pdf")
    with pytest.raises(ValueError, match="signs for a week"):
        ReportConfig(output="x", file="r.html", listen_hours=1000)


def test_damaged_files_are_counted_and_named(tmp_path: Path) -> None:
    damage = "the file ends early: 8.0 s of the 1:00.0 its header gives"
    write_captions(tmp_path, [caption_row(1, damage=damage), caption_row(2)])
    page = page_of(tmp_path)
    assert "1 tracks were captioned from what the file holds" in page
    assert f"<code>t000001</code> <span>{damage}</span>" in page
    assert "<code>t000002</code>" not in page
    summary, _ = summarise(str(tmp_path))
    assert summary.as_json()["damaged"] == 1


def test_an_output_without_column_damage_has_no_damaged_files(tmp_path: Path) -> None:
    schema = CAPTION_SCHEMA.remove(CAPTION_SCHEMA.get_field_index("damage"))
    write_rows(tmp_path / "captions", [caption_row(1)], schema, "part-000.parquet")
    assert 'id="damaged"' not in page_of(tmp_path)


def test_tracks_that_are_hardly_music_are_marked(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1, music_score=0.49), caption_row(2, music_score=0.5), caption_row(3)])
    details = data_of(page_of(tmp_path))["details"]
    assert ["not music" in details[n].get("flags", []) for n in "012"] == [True, False, False]


def test_what_the_listing_left_out_is_listed_by_suffix(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1)])
    left_out = {".jpg": {"files": 3, "example": "sub/cover.jpg"}, "": {"files": 1, "example": "README"}}
    write_run(tmp_path, files_left_out=left_out, num_unreadable=1, unreadable=["/music/secret: access denied"])
    page = page_of(tmp_path)
    assert "<b>3</b> <code>.jpg</code> <span>such as sub/cover.jpg</span>" in page
    assert "<b>1</b> <code>without suffix</code> <span>such as README</span>" in page
    assert "/music/secret: access denied" in page


def test_a_record_of_another_version_lists_nothing(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1)])
    write_run(tmp_path, files_left_out=[1], unreadable="no list", num_unreadable=None)
    assert 'id="left-out"' not in page_of(tmp_path)
