"""Captions in sidecar files, tagged copies and tagged originals."""

import json
from pathlib import Path

import pytest

from pipeline.reading.audio_tags import TagConfig, write_tags
from pipeline.reading.comment_tags import Comment, tag_file
from pipeline.reading.shortening import shorten_caption
from pipeline.review.apply import apply_reviews
from tests.finished_output import caption_row, review_line, write_captions

mutagen = pytest.importorskip("mutagen")
SUFFIXES = ("mp3", "flac", "ogg", "opus", "m4a", "wav", "aiff")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    write_captions(folder, [caption_row(n) for n in range(20)])
    return folder


def test_tags_without_mutagen_name_the_package_to_install(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folder = output.parent / "tagged"
    with pytest.raises(ValueError, match="pip install mutagen, or write sidecars"):
        write_tags(TagConfig(output=str(output), folder=str(folder), target="copies"))
    assert not folder.exists()
    assert write_tags(TagConfig(output=str(output), folder=str(folder), target="sidecars")).written == 20


def test_sidecars_have_what_a_person_decided(output: Path) -> None:
    file = output.parent / "reviews.jsonl"
    file.write_text("\n".join(json.dumps(review_line(n, verdict)) for n, verdict in ((3, "edited"), (4, "rejected"))))
    apply_reviews(str(output), str(file))
    folder = output.parent / "sidecars"
    done = write_tags(TagConfig(output=str(output), folder=str(folder), target="sidecars"))
    assert (done.written, done.failed) == (19, ())
    edited = json.loads((folder / "t000003.caption.json").read_text())
    assert (edited["caption"], edited["reviewed_by_human"]) == ("a better caption", True)
    assert not (folder / "t000004.caption.json").exists()
    assert '"left_out": "rejected by a person"' in Path(done.log).read_text()


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
def test_a_tag_is_marked_replaceable_and_keeps_other_comments(audio_files: dict[str, Path], suffix: str) -> None:
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
        tag_file(path, Comment(caption=caption, model_id="model-1"))
    tags = mutagen.File(path).tags
    if suffix in ("flac", "ogg", "opus"):
        assert tags["COMMENT"] == ["bought in 2003", "AI-written description: a calm Zoë piece"]
        assert tags["MUSCAPS_CAPTION"] == ["a calm Zoë piece"]
    elif suffix == "m4a":
        assert tags["\xa9cmt"] == ["AI-written description: a calm Zoë piece"]
        assert bytes(tags["----:com.muscaps:MODEL"][0]) == b"model-1"
    else:
        assert tags["COMM::eng"].text == ["bought in 2003"]
        assert tags["COMM:muscaps:eng"].text == ["AI-written description: a calm Zoë piece"]
        assert len(tags.getall("COMM")) == 2


@pytest.mark.parametrize("target", ["sidecars", "copies"])
def test_other_targets_do_not_change_the_originals(tmp_path: Path, audio_files: dict[str, Path], target: str) -> None:
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
        assert sidecar["description_ai_generated"] is True
    else:
        assert rows[1]["caption"] in mutagen.File(folder / "album" / "flac.flac").tags["COMMENT"][0]


def test_tagged_originals_keep_time_and_mode(tmp_path: Path, audio_files: dict[str, Path]) -> None:
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
        TagConfig(output=str(tmp_path / "output"), folder=str(tmp_path / "log"), target="originals", max_chars=30)
    )
    assert summary.written == 1
    assert [track for track, _ in summary.failed] == ["t000002", "t000003"]
    assert str(mutagen.File(path).tags["TXXX:MUSCAPS_CAPTION"]) == shorten_caption(rows[0]["caption"], 30).text
    assert (path.stat().st_mtime_ns, path.stat().st_mode) == (before.st_mtime_ns, before.st_mode)
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".tag-")]
    assert len(Path(summary.log).read_text().splitlines()) == 3


def test_hostile_track_ids_stay_inside_the_folder_and_have_a_file_each(tmp_path: Path) -> None:
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


def test_a_caption_without_a_short_sentence_is_one_line_of_the_log(tmp_path: Path) -> None:
    write_captions(tmp_path / "output", [caption_row(1), caption_row(2, caption="Piano.")])
    config = TagConfig(output=str(tmp_path / "output"), folder=str(tmp_path / "s"), target="sidecars", max_chars=6)
    summary = write_tags(config)
    assert (summary.written, [track for track, _ in summary.failed]) == (1, ["t000001"])
    assert "no sentence of at most 6 characters" in summary.failed[0][1]
