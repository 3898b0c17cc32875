"""Decisions of people: read from reviews.jsonl, written into an output, applied to captions, scored."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from muscaps.training.dataset.pairs import DatasetError
from pipeline.output.compaction import compact
from pipeline.output.lease import Lease, LeaseHeldError, current_holder
from pipeline.output.newest import OutputError, open_table
from pipeline.reading.export import ExportConfig, export_captions
from pipeline.reading.report import ReportConfig, write_report
from pipeline.review.apply import apply_reviews
from pipeline.review.reviewed_captions import ReviewedCaptions
from pipeline.review.score import score_reviews, wilson_interval
from pipeline.training.pair_files import read_pairs
from tests.finished_output import caption_row, review_line, write_captions

PIANO = {"facet": "instrument", "tag": "piano"}
DRUMS = {"facet": "instrument", "tag": "drums"}


def apply(output: Path, *lines: dict[str, Any]) -> Any:
    file = output.parent / "reviews.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return apply_reviews(str(output), str(file))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Four captioned tracks with two tags each."""
    tags = [PIANO | {"score": 0.9}, DRUMS | {"score": 0.3}]
    write_captions(tmp_path / "output", [caption_row(n, tags=tags) for n in range(4)])
    return tmp_path / "output"


def exported(output: Path) -> dict[str, dict[str, Any]]:
    file = output.parent / "x.jsonl"
    export_captions(ExportConfig(output=str(output), file=str(file)))
    return {row["track_id"]: row for row in map(json.loads, file.read_text().splitlines())}


def test_a_second_call_writes_nothing(output: Path) -> None:
    first = apply(output, review_line(0), review_line(1, "edited"), review_line(2, "rejected"))
    assert (first.written, first.accepted, first.edited, first.rejected, first.known) == (3, 1, 1, 1, 0)
    again = apply(output, review_line(0), review_line(1, "edited"), review_line(2, "rejected"), review_line(3))
    assert (again.written, again.known) == (1, 3)
    assert len(list((output / "reviews").glob("part-*.parquet"))) == 2
    assert current_holder(str(output)) is None


def test_nothing_is_written_while_a_run_has_the_lease(output: Path) -> None:
    with Lease(str(output), "a-run"), pytest.raises(LeaseHeldError, match="a-run"):
        apply(output, review_line(0))
    assert not (output / "reviews").exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"verdict": "ok"}, "verdict must be accepted, edited or rejected, not 'ok'"),
        ({"caption": "  "}, "so caption must not be empty"),
        ({"verdict": "rejected"}, "so caption must be null"),
        ({"track_id": None}, "track_id is missing"),
        ({"created_at": "yesterday"}, "created_at must be a time"),
        ({"tags_on": ["piano"]}, "tags_on must be a list of facet and tag"),
        ({"certainty": "high"}, "certainty must be a number"),
        ({"sample": "mine"}, "sample must be random"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(output: Path, line: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=r"reviews\.jsonl, line 2: .*") as caught:
        apply(output, review_line(0), review_line(1) | line)
    assert reason in str(caught.value)
    assert not (output / "reviews").exists()


def test_tracks_of_another_output_are_refused(output: Path) -> None:
    with pytest.raises(ValueError, match=r"1 of its tracks are not in .*'t000077'"):
        apply(output, review_line(0), review_line(77, created_at="2026-11-26T09:00:00Z"))


def test_an_export_prefers_what_a_person_decided(output: Path) -> None:
    apply(output, review_line(0), review_line(1, "edited"), review_line(2, "rejected"))
    rows = exported(output)
    captions = [rows[f"t00000{n}"]["caption"] for n in range(4)]
    assert captions == [caption_row(0)["caption"], "a better caption", None, caption_row(3)["caption"]]
    assert [rows[f"t00000{n}"]["reviewed_by_human"] for n in range(4)] == [True, True, True, False]


def test_tags_are_switched_on_with_score_1_and_off(output: Path) -> None:
    apply(output, review_line(0, tags_on=[DRUMS], tags_off=[PIANO]))
    rows = exported(output)
    assert rows["t000000"]["tags"] == [DRUMS | {"score": 1.0}]
    assert rows["t000001"]["tags"] == [PIANO | {"score": 0.9}]


def test_the_newest_decision_counts(output: Path) -> None:
    apply(output, review_line(0, "edited", created_at="2026-11-26T10:00:00Z"), review_line(0, "rejected"))
    assert exported(output)["t000000"]["caption"] == "a better caption"


def test_a_decision_about_another_version_of_the_audio_does_not_count(output: Path) -> None:
    apply(output, review_line(0, "edited", etag="before"))
    assert exported(output)["t000000"]["reviewed_by_human"] is False


def test_an_edit_outlives_a_new_caption_and_a_rejection_does_not(output: Path) -> None:
    apply(output, review_line(0, "edited", machine_caption="old"), review_line(1, "rejected", machine_caption="old"))
    rows = exported(output)
    assert rows["t000000"]["caption"] == "a better caption"
    assert rows["t000001"]["caption"] == caption_row(1)["caption"]


def test_compaction_keeps_reviews(output: Path) -> None:
    apply(output, review_line(0))
    apply(output, review_line(1, "edited"))
    compact(str(output))
    assert len(list((output / "reviews").glob("*.parquet"))) == 1
    assert sorted(row["track_id"] for row in ReviewedCaptions(str(output))) == ["t000000", "t000001"]


def test_reviews_have_the_table_of_the_schema(output: Path) -> None:
    apply(output, review_line(0))
    [file] = (output / "reviews").glob("*.parquet")
    table = pq.read_table(file)
    assert table["created_at"].to_pylist()[0].isoformat() == "2026-11-26T09:00:00.123000+00:00"
    assert open_table(str(output), "reviews").schema.names == table.schema.names


def test_the_score_has_shares_by_certainty_and_sample(output: Path) -> None:
    lines = [
        review_line(0, certainty=0.3, sample="random"),
        review_line(1, "edited", certainty=0.3, sample="random"),
        review_line(2, certainty=0.95, tags_off=[PIANO]),
        review_line(3, "rejected", certainty=None),
    ]
    apply(output, *lines)
    found = score_reviews(str(output))
    assert (found.total.reviewed, found.total.accepted, found.total.share_accepted) == (4, 2, 0.5)
    assert [(one.group, one.reviewed, one.accepted) for one in found.certainty] == [
        ("below 0.5", 2, 1), ("0.8 to 1", 1, 1), ("unknown", 1, 0),
    ]  # fmt: skip
    assert [(one.group, one.reviewed) for one in found.samples] == [("random", 2), ("by_person", 2)]
    assert found.tags_switched == {"instrument": (0, 1)}


def test_a_score_without_reviews_names_the_remedy(output: Path) -> None:
    with pytest.raises(ValueError, match="muscaps review apply"):
        score_reviews(str(output))


def test_wilson_intervals_are_those_of_the_textbook() -> None:
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_accepted_and_edited_captions_are_training_pairs(output: Path) -> None:
    apply(output, review_line(0), review_line(1, "edited"), review_line(2, "rejected"))
    pairs = read_pairs(str(output))
    assert [(pair.track_id, pair.uri, pair.captions) for pair in pairs] == [
        ("t000000", caption_row(0)["uri"], (caption_row(0)["caption"],)),
        ("t000001", caption_row(1)["uri"], ("a better caption",)),
    ]


def test_an_output_without_accepted_captions_is_no_source_of_pairs(output: Path) -> None:
    apply(output, review_line(2, "rejected"))
    with pytest.raises(DatasetError, match="no caption was accepted or edited"):
        read_pairs(str(output))


def test_a_sample_of_a_reviewed_output_is_refused(output: Path) -> None:
    apply(output, *(review_line(n) for n in range(4)))
    config = ReportConfig(output=str(output), file=str(output / "review.html"), max_tracks=2, sample="random")
    with pytest.raises(OutputError, match=r"every captioned track of .* has been reviewed"):
        write_report(config)
