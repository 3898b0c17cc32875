"""Exports: the newest caption of every track, in the format asked for, marked as a machine's."""

import csv
import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.output.newest import OutputError, open_table
from pipeline.reading.audio_tags import TagConfig, write_tags
from pipeline.reading.comment_tags import tag_file
from pipeline.reading.export import ExportConfig, export_captions
from pipeline.reading.shortening import shorten_caption
from tests.finished_output import STARTED, caption_row, write_captions

mutagen = pytest.importorskip("mutagen")
SUFFIXES = ("mp3", "flac", "ogg", "opus", "m4a", "wav", "aiff")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    write_captions(folder, [caption_row(n) for n in range(20)], "part-a.parquet")
    again = [caption_row(n, caption=f"newer {n}", created_at=STARTED + timedelta(days=1)) for n in range(5)]
    write_captions(folder, again, "part-b.parquet")
    return folder


def export(output: Path, name: str, **options: object) -> Path:
    file = output.parent / name
    export_captions(ExportConfig(output=str(output), file=str(file), **options))
    return file


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_track_is_exported_once_with_its_newest_caption(output: Path, suffix: str) -> None:
    file = export(output, f"captions.{suffix}")
    if suffix == "csv":
        rows = read_csv(file)
    elif suffix == "jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    else:
        rows = pq.read_table(file).to_pylist()
    captions = {row["track_id"]: row["caption"] for row in rows}
    assert len(rows) == len(captions) == 20
    assert captions["t000003"] == "newer 3"
    assert captions["t000007"] == caption_row(7)["caption"]


def test_an_older_caption_in_a_younger_file_does_not_win(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1, caption="new", created_at=STARTED + timedelta(days=2))], "a.parquet")
    write_captions(tmp_path, [caption_row(1, caption="old", created_at=STARTED)], "b.parquet")
    rows = [row for batch in open_table(str(tmp_path), "captions").newest() for row in batch.to_pylist()]
    assert [row["caption"] for row in rows] == ["new"]


def test_one_model_can_be_chosen_and_an_unknown_one_is_named(output: Path) -> None:
    rows = [caption_row(n, model_id="other-1", caption="other") for n in range(3)]
    write_captions(output, rows, "part-c.parquet")
    file = export(output, "other.csv", model_id="other-1")
    assert {row["caption"] for row in read_csv(file)} == {"other"}
    with pytest.raises(OutputError, match="nothing by model 'third'; it has: default-0123456789ab, other-1"):
        export(output, "none.csv", model_id="third")
    assert not (output.parent / "none.csv").exists()


def test_columns_come_in_the_order_asked_for_and_the_mark_stays(output: Path) -> None:
    file = export(output, "few.csv", columns=("caption", "track_id"))
    assert file.read_text().splitlines()[0] == '"caption","track_id","ai_generated"'
    with pytest.raises(OutputError, match="no column 'genre'"):
        export(output, "none.csv", columns=("genre",))


def test_catalogue_columns_that_only_some_files_have_are_null_elsewhere(tmp_path: Path) -> None:
    write_captions(tmp_path, [caption_row(1, genre="jazz")], "a.parquet")
    write_captions(tmp_path, [caption_row(2)], "b.parquet")
    file = tmp_path / "all.jsonl"
    export_captions(ExportConfig(output=str(tmp_path), file=str(file)))
    assert [json.loads(line)["genre"] for line in file.read_text().splitlines()] == ["jazz", None]


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://x","y")', "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1\uff0b1"],
)
def test_no_cell_starts_a_formula(tmp_path: Path, text: str) -> None:
    write_captions(tmp_path, [caption_row(1, title=text, log_prob=-4.5)])
    file = tmp_path / "x.csv"
    summary = export_captions(ExportConfig(output=str(tmp_path), file=str(file)))
    [row] = read_csv(file)
    assert row["title"] == "'" + text
    assert float(row["log_prob"]) == -4.5
    assert summary.escaped == 1
    export_captions(ExportConfig(output=str(tmp_path), file=str(file), spreadsheet_safe=False))
    assert read_csv(file)[0]["title"] == text


def test_quotes_commas_and_line_breaks_survive_csv(tmp_path: Path) -> None:
    text = 'a "quoted", two-line\ntitle; Zoë 音'
    write_captions(tmp_path, [caption_row(1, title=text)])
    file = tmp_path / "x.csv"
    export_captions(ExportConfig(output=str(tmp_path), file=str(file)))
    assert read_csv(file)[0]["title"] == text


@pytest.mark.parametrize(
    ("caption", "max_chars", "expected"),
    [
        ("a slow piano piece", 18, "a slow piano piece"),
        ("a slow piano piece", 17, "a slow piano"),
        ("a slow piano piece", 12, "a slow piano"),
        ("a slow piano, with a soft flute", 22, "a slow piano"),
        ("strings and the brass", 15, "strings"),
        ("a fast house track built on drums", 26, "a fast house track"),
        ("extraordinarily long", 6, "extrao"),
        ("a  spaced\tout caption", 11, "a spaced"),
        ("a spaced out", 12, "a spaced out"),
        ("the", 2, "th"),
    ],
)
def test_captions_are_cut_between_words(caption: str, max_chars: int, expected: str) -> None:
    assert shorten_caption(caption, max_chars) == expected
    assert len(expected) <= max_chars


def test_the_descriptor_states_rows_digest_types_and_that_a_machine_wrote_it(output: Path) -> None:
    import hashlib

    file = export(output, "captions.csv", max_chars=20)
    package = json.loads((output.parent / "captions.csv.datapackage.json").read_text())
    [resource] = package["resources"]
    assert package["ai_generated"] is True
    assert resource["path"] == "captions.csv"
    assert resource["rows"] == 20
    assert resource["bytes"] == file.stat().st_size
    assert resource["hash"] == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    types = {field["name"]: field["type"] for field in resource["schema"]["fields"]}
    assert list(types) == list(read_csv(file)[0])
    assert (types["caption"], types["log_prob"], types["created_at"]) == ("string", "number", "datetime")


def test_exported_parquet_keeps_types_and_carries_the_mark(output: Path) -> None:
    table = pq.read_table(export(output, "captions.parquet"))
    assert table.schema.metadata[b"ai_generated"] == b"true"
    assert table.schema.field("created_at").type == pa.timestamp("us", tz="UTC")
    assert set(table["ai_generated"].to_pylist()) == {True}


def test_audiofolder_metadata_names_files_relative_to_itself(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    write_captions(tmp_path, [caption_row(1, uri=str(audio / "rock" / "a b.mp3"))])
    file = audio / "metadata.jsonl"
    export_captions(
        ExportConfig(output=str(tmp_path), file=str(file), audiofolder=True, columns=("file_name", "caption"))
    )
    row = json.loads(file.read_text())
    assert list(row) == ["file_name", "caption", "ai_generated"]
    assert row["file_name"] == "rock/a b.mp3"
    with pytest.raises(OutputError, match="does not lie in"):
        export_captions(
            ExportConfig(output=str(tmp_path), file=str(tmp_path / "elsewhere" / "metadata.jsonl"), audiofolder=True)
        )
    assert not list((tmp_path / "elsewhere").iterdir())


def test_audiofolder_metadata_names_the_tagged_copies_of_audio_that_lies_elsewhere(
    tmp_path: Path, tone_files: list[Path]
) -> None:
    rows = [caption_row(n, track_id=f"{n}/x", uri=str(path)) for n, path in enumerate(tone_files)]
    write_captions(tmp_path / "out", rows)
    folder = tmp_path / "dataset"
    write_tags(TagConfig(output=str(tmp_path / "out"), folder=str(folder), target="copies"))
    file = folder / "metadata.jsonl"
    export_captions(ExportConfig(output=str(tmp_path / "out"), file=str(file), audiofolder=True, columns=("caption",)))
    named = [json.loads(line)["file_name"] for line in file.read_text().splitlines()]
    assert named == [f"{n}/x.wav" for n in range(5)]
    assert all((folder / name).exists() for name in named)


def test_tags_without_mutagen_are_refused_with_what_to_install(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folder = output.parent / "tagged"
    with pytest.raises(ValueError, match="pip install mutagen, or write sidecars"):
        write_tags(TagConfig(output=str(output), folder=str(folder), target="copies"))
    assert not folder.exists()
    assert write_tags(TagConfig(output=str(output), folder=str(folder), target="sidecars")).written == 20


def test_bad_requests_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.csv, \.jsonl or \.parquet"):
        ExportConfig(output="x", file="captions.xlsx")
    with pytest.raises(ValueError, match="max_chars must be at least 1"):
        ExportConfig(output="x", file="a.csv", max_chars=0)
    with pytest.raises(ValueError, match=r"must be called metadata\.csv"):
        ExportConfig(output="x", file="a.csv", audiofolder=True)
    with pytest.raises(OutputError, match="run `muscaps caption"):
        export_captions(ExportConfig(output=str(tmp_path), file=str(tmp_path / "a.csv")))


# Sidecars and tags.


@pytest.fixture
def audio_files(tmp_path: Path) -> dict[str, Path]:
    """A second of silence in every container tags are written to."""
    import av
    import numpy as np
    import soundfile

    folder = tmp_path / "audio"
    folder.mkdir()
    files = {suffix: folder / f"tone.{suffix}" for suffix in SUFFIXES}
    silence = np.zeros(48_000, dtype=np.float32)
    for suffix, path in files.items():
        if suffix == "m4a":
            with av.open(str(path), "w") as container:
                stream = container.add_stream("aac", rate=48_000, layout="mono")
                frame = av.AudioFrame.from_ndarray(silence[None], format="fltp", layout="mono")
                frame.sample_rate = 48_000
                container.mux([*stream.encode(frame), *stream.encode(None)])
        else:
            ogg = {"opus": "OPUS", "ogg": "VORBIS"}.get(suffix)
            soundfile.write(path, silence, 48_000, format="OGG" if ogg else None, subtype=ogg)
    return files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_tag_is_written_marked_repeatable_and_beside_other_comments(
    audio_files: dict[str, Path], suffix: str
) -> None:
    path = audio_files[suffix]
    other = mutagen.File(path)
    if other.tags is None:
        other.add_tags()
    if suffix in ("flac", "ogg", "opus"):
        other.tags["COMMENT"] = ["bought in 2003"]
    elif suffix != "m4a":
        other.tags.add(mutagen.id3.COMM(encoding=3, lang="eng", desc="", text=["bought in 2003"]))
    other.save()
    for caption in ("first", "a calm Zoë piece"):
        tag_file(path, caption, model_id="model-1")
    tags = mutagen.File(path).tags
    if suffix in ("flac", "ogg", "opus"):
        assert tags["COMMENT"] == ["bought in 2003", "AI-generated: a calm Zoë piece"]
        assert tags["MUSCAPS_CAPTION"] == ["a calm Zoë piece"]
    elif suffix == "m4a":
        assert tags["\xa9cmt"] == ["AI-generated: a calm Zoë piece"]
        assert bytes(tags["----:com.muscaps:MODEL"][0]) == b"model-1"
    else:
        assert tags["COMM::eng"].text == ["bought in 2003"]
        assert tags["COMM:muscaps:eng"].text == ["AI-generated: a calm Zoë piece"]
        assert len(tags.getall("COMM")) == 2


@pytest.mark.parametrize("target", ["sidecars", "copies"])
def test_originals_stay_untouched_unless_told(tmp_path: Path, audio_files: dict[str, Path], target: str) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in audio_files.values()}
    rows = [
        caption_row(n, track_id=f"album/{suffix}", uri=str(path))
        for n, (suffix, path) in enumerate(audio_files.items())
    ]
    write_captions(tmp_path / "output", rows)
    folder = tmp_path / "tagged"
    summary = write_tags(TagConfig(output=str(tmp_path / "output"), folder=str(folder), target=target))
    assert (summary.written, summary.failed) == (len(rows), ())
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in audio_files.values()}
    if target == "sidecars":
        sidecar = json.loads((folder / "album" / "mp3.caption.json").read_text())
        assert sidecar["caption"] == rows[0]["caption"]
        assert sidecar["ai_generated"] is True
    else:
        assert rows[1]["caption"] in mutagen.File(folder / "album" / "flac.flac").tags["COMMENT"][0]


def test_originals_are_tagged_when_told_and_keep_time_and_mode(tmp_path: Path, audio_files: dict[str, Path]) -> None:
    path = audio_files["mp3"]
    path.chmod(0o640)
    before = path.stat()
    rows = [
        caption_row(1, uri=str(path)),
        caption_row(2, uri="s3://bucket/x.mp3"),
        caption_row(3, uri=str(tmp_path / "gone.mp3")),
    ]
    write_captions(tmp_path / "output", rows)
    summary = write_tags(
        TagConfig(output=str(tmp_path / "output"), folder=str(tmp_path / "log"), target="originals", max_chars=12)
    )
    assert summary.written == 1
    assert [track for track, _ in summary.failed] == ["t000002", "t000003"]
    assert str(mutagen.File(path).tags["TXXX:MUSCAPS_CAPTION"]) == shorten_caption(rows[0]["caption"], 12)
    assert (path.stat().st_mtime_ns, path.stat().st_mode) == (before.st_mtime_ns, before.st_mode)
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".tag-")]
    assert len(Path(summary.log).read_text().splitlines()) == 3


def test_hostile_track_ids_stay_inside_the_folder_and_apart(tmp_path: Path) -> None:
    ids = [
        "../../etc/passwd",
        "/abs",
        "a\x00b",
        "a_b",
        "..",
        "x" * 400,
        "x" * 401,
        "con:1",
        "con_1",
        "ünï/ça",
    ]
    write_captions(tmp_path / "output", [caption_row(n, track_id=i) for n, i in enumerate(ids)])
    folder = tmp_path / "deep" / "sidecars"
    summary = write_tags(TagConfig(output=str(tmp_path / "output"), folder=str(folder), target="sidecars"))
    assert summary.failed == ()
    written = {Path(json.loads(line)["written"]) for line in Path(summary.log).read_text().splitlines()}
    assert len(written) == len(ids)
    assert all(path.resolve().is_relative_to(folder.resolve()) and path.exists() for path in written)
