"""Genre, mood and description in the tags of every kind of file: where the format expects them, never over a value."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

mutagen = pytest.importorskip("mutagen")

from pipeline.reading.comment_tags import Comment, write_tagged  # noqa: E402
from pipeline.reading.comment_tags.id3 import edited_tag  # noqa: E402
from tests.tagged_audio import encoded, written  # noqa: E402

CAPTION = "A calm piece for Zoë."
TEXT = f"AI-written description: {CAPTION}"
FIELDS = {"genre": ("Jazz", "Bossa Nova"), "mood": ("calm",), "description": (TEXT,)}

FILES: dict[str, Callable[[], bytes]] = {
    "mp3": lambda: encoded("mp3", "libmp3lame", "mp3", ("id3v2_version", "0")),
    "wav": lambda: written("WAV"),
    "flac": lambda: written("FLAC"),
    "opus": lambda: written("OGG", "OPUS"),
    "m4a": lambda: encoded("ipod", "aac", "m4a"),
    "wma": lambda: encoded("asf", "wmav2", "wma"),
    "wv": lambda: encoded("wv", "wavpack", "wv"),
}
NAMES = {
    "mp3": ("TCON", "TMOO", "COMM::eng"), "wav": ("TCON", "TMOO", "COMM::eng"),
    "flac": ("GENRE", "MOOD", "DESCRIPTION"), "opus": ("GENRE", "MOOD", "DESCRIPTION"),
    "m4a": ("\xa9gen", "----:com.apple.iTunes:MOOD", "desc"), "wma": ("WM/Genre", "WM/Mood", "Description"),
    "wv": ("Genre", "Mood", "Description"),
}  # fmt: skip
SEVERAL = {"m4a": ["Jazz; Bossa Nova"]}
"""What mutagen shows where a format has one text."""


def tagged(source: Path, target: Path, **settings: Any) -> list[list[str]]:
    """Write a file, and read the three fields with mutagen."""
    write_tagged(source, target, Comment(caption=CAPTION, model_id="m", **settings))
    tags = mutagen.File(target).tags
    return [_texts(tags[name]) if name in tags else [] for name in NAMES[source.suffix[1:]]]


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else getattr(value, "text", None) or list(value)
    return [bytes(one).decode() if isinstance(one, bytes) else str(one) for one in values]


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"source.{request.param}"
    path.write_bytes(FILES[request.param]())
    return path


def test_fields_are_written_where_they_are_asked_for(file: Path, tmp_path: Path) -> None:
    target = tmp_path / f"target{file.suffix}"
    genres = SEVERAL.get(file.suffix[1:], ["Jazz", "Bossa Nova"])
    assert tagged(file, target, values=FIELDS) == [genres, ["calm"], [TEXT]]
    plain = tagged(file, tmp_path / f"plain{file.suffix}")
    assert plain[:2] == [[], []]


def test_a_value_of_the_file_is_replaced_only_if_told(file: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}{file.suffix}" for name in ("first", "second", "third"))
    before = tagged(file, first, values={"genre": ("Rock",), "mood": ("dark",), "description": ("by hand",)})
    assert before[0] == ["Rock"]
    assert tagged(first, second, values=FIELDS)[:2] == before[:2]
    assert tagged(second, third, values={"mood": ("calm",)}, overwrite=True)[:2] == [["Rock"], ["calm"]]


def test_our_own_description_is_replaced_and_another_one_is_kept(tmp_path: Path) -> None:
    for name, text, expected in (("own", TEXT, "AI-written description: New."), ("foreign", "by hand", "by hand")):
        source, target = tmp_path / f"{name}.flac", tmp_path / f"{name}-2.flac"
        source.write_bytes(written("FLAC"))
        tagged(source, target, values={"description": (text,)})
        again = tmp_path / f"{name}-3.flac"
        assert tagged(target, again, values={"description": ("AI-written description: New.",)})[2] == [expected]


@pytest.mark.parametrize(("major", "mood"), [(2, "TXXX:MOOD"), (3, "TXXX:MOOD"), (4, "TMOO")])
def test_the_mood_of_an_older_id3_tag_is_a_named_text(major: int, mood: str) -> None:
    import io

    tag = b"ID3" + bytes([major, 0, 0, 0, 0, 8, 0]) + bytes(1024)
    edited = edited_tag(tag, Comment(caption="c", model_id="m", values={"mood": ("calm",), "genre": ("Jazz",)}))
    found = mutagen.id3.ID3(io.BytesIO(edited), translate=False)
    names = [frame.HashKey for frame in found.values()]
    assert any(name in (mood, mood.replace("TXXX", "TXX")) for name in names)
