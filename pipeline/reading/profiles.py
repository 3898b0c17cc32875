"""The columns that other systems import.

Conventions: a column is written under the system's name if the output has what it needs. Columns of a system that its
public documents do not name are left out, because an import can reject or misread them. Sources: docs/export.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.reading.tag_columns import AI_NOTE, CATEGORY, FILENAME, GENRE_WORD, KEYWORDS, SUBCATEGORY, VOCALS

ProfileName = Literal["sourceaudio", "soundminer", "disco", "harvest", "plain"]


@dataclass(frozen=True, kw_only=True)
class ProfileColumn:
    """One column of a system."""

    name: str
    """The system's name of it."""
    source: str
    """Column of `captions/`, or one of `tag_columns`."""
    max_chars: int | None = None
    """Most characters that the system keeps."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a system imports."""

    columns: tuple[ProfileColumn, ...]
    """In order; the first one tells the system which track a row is about."""
    suffix: str = ".csv"
    """Suffix of the file; `.txt` is separated by tabs."""
    may_empty_cells_delete: bool = False
    """Whether the import deletes what the system has where a cell is empty."""
    is_for_people: bool = False
    """Whether the file is opened in a spreadsheet rather than imported; formulas are made safe by default."""


def _columns(*named: tuple[str, str] | tuple[str, str, int]) -> tuple[ProfileColumn, ...]:
    return tuple(
        ProfileColumn(name=entry[0], source=entry[1], max_chars=entry[2] if len(entry) == 3 else None)
        for entry in named
    )


PROFILES: Mapping[str, Profile] = {
    "sourceaudio": Profile(
        columns=_columns(
            ("Filename", FILENAME), ("Title", "title"), ("Description", "caption"), ("Genres", "tags_genre"),
            ("Mood", "tags_mood"), ("Instrumentation", "tags_instrument"), ("Tempos", "tags_tempo"), ("Bpm", "bpm"),
            ("Has Vocal", VOCALS), ("Isrc", "isrc"), ("Master ID", "master_id"),
        ),
        may_empty_cells_delete=True,
    ),
    "soundminer": Profile(
        columns=_columns(
            ("Filename", FILENAME, 255), ("TrackTitle", "title", 128), ("Description", "caption", 1000),
            ("Category", CATEGORY, 62), ("SubCategory", SUBCATEGORY, 62), ("Tempo", "tags_tempo", 62),
            ("Notes", AI_NOTE, 255),
        ),
    ),
    "harvest": Profile(
        columns=_columns(
            ("TRACK: Title", "title"), ("TRACK: Description", "caption"), ("TRACK: BPM", "bpm"),
            ("TRACK: Tempo", "tags_tempo"), ("TRACK: Genre", GENRE_WORD),
            ("TRACK: Instrumentation", "tags_instrument"), ("TRACK: Keywords", KEYWORDS),
        ),
        suffix=".txt",
    ),
    "plain": Profile(
        columns=_columns(
            ("track_id", "track_id"), ("filename", FILENAME), ("title", "title"), ("artist", "artist"),
            ("caption", "caption"), ("genre", "tags_genre"), ("mood", "tags_mood"), ("instruments", "tags_instrument"),
            ("energy", "tags_energy"), ("tempo", "tags_tempo"), ("keywords", KEYWORDS), ("vocals", VOCALS),
            ("bpm", "bpm"), ("isrc", "isrc"), ("description_ai_generated", "description_ai_generated"),
            ("description_model", "description_model"),
        ),
        is_for_people=True,
    ),
}  # fmt: skip


def profile_of(name: str) -> Profile:
    """Return a profile.

    Raises:
        ValueError: It is unknown, or nothing public says what the system imports.
    """
    if name == "disco":
        raise ValueError(
            "profile disco: no public document lists the columns that DISCO imports; name them yourself, "
            "--profile plain --rename caption=Comments, or write tags into the files with --tags copies --write"
        )
    if name not in PROFILES:
        raise ValueError(f"the profile must be one of {', '.join([*PROFILES, 'disco'])}, not {name!r}")
    return PROFILES[name]
