"""What the facts of a track say about the tags of `muscaps.lexicon`: true, false, or unknown.

A catalogue that lists instruments is taken to list all families, and one that lists moods all moods; an empty column
says nothing. Rendered clips say nothing of mood and energy: what an arrangement was meant to be is not what listeners
call it.

Conventions: labels and masks are float32 of 0 and 1, (tags,), in the order of `TAGS`; an unknown tag is 0 in both.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from muscaps import lexicon

LAYERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "families": ("instrument", lexicon.FAMILIES),
    "instruments": ("instrument", lexicon.INSTRUMENTS),
    "moods": ("mood", lexicon.MOODS),
    "feels": ("mood", lexicon.FEELS),
    "energies": ("energy", lexicon.ENERGIES),
    "tempo": ("tempo", lexicon.TEMPOS),
    "genres": ("genre", lexicon.GENRES),
    "vocals": ("vocals", lexicon.tags_of("vocals")),
}
"""Groups of tags: their facet and their names."""
TAGS = tuple((facet, tag) for facet, tags in LAYERS.values() for tag in tags)
GROUP_OF = tuple(group for group, (_, tags) in LAYERS.items() for _ in tags)
"""The group of each of `TAGS`."""

_PLACES = {name: place for place, name in enumerate(TAGS)}
Labels = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def labels_of_catalogue_row(row: Mapping[str, str]) -> Labels:
    """Return labels and mask of a real track from `instruments`, `feel`, `genre` and `bpm`."""
    facts = _Facts()
    if row["instruments"].strip():
        families = lexicon.tags_in(row["instruments"], "family")
        facts.state("families", families)
        facts.state("instruments", lexicon.tags_in(row["instruments"], "instrument"))
        facts.state_vocals(families, lexicon.tags_in(row["instruments"], "vocals"))
    if row["feel"].strip():
        facts.state("moods", lexicon.tags_in(row["feel"], "mood"))
        facts.state("feels", lexicon.tags_in(row["feel"], "feel"))
        facts.state("energies", lexicon.tags_in(row["feel"], "energy"))
    if row["genre"].strip():
        facts.state("genres", lexicon.tags_in(row["genre"], "genre"))
    beats_per_minute = float(row["bpm"] or 0)
    if beats_per_minute > 0:
        facts.state("tempo", [lexicon.tempo_class(beats_per_minute)])
    return facts.labels, facts.known


def labels_of_clip_row(row: Mapping[str, Any]) -> Labels:
    """Return labels and mask of a rendered clip from a row of `muscaps corpus render`."""
    facts = _Facts()
    names = ", ".join(row["instruments"])
    families = (set(row["families"]) & set(lexicon.FAMILIES)) | lexicon.tags_in(names, "family")
    facts.state("families", families)
    facts.state("instruments", lexicon.tags_in(names, "instrument"))
    facts.state_vocals(families, ["choir"] if "choir" in families else [])
    facts.state("tempo", [row["tempo"]])
    genres = lexicon.tags_in(row["style"], "genre") | lexicon.tags_in(", ".join(row["nouns"]), "genre")
    if genres:
        facts.state("genres", genres)
    return facts.labels, facts.known


class _Facts:
    """Labels and mask being filled in."""

    def __init__(self) -> None:
        self.labels = np.zeros(len(TAGS), dtype=np.float32)
        self.known = np.zeros(len(TAGS), dtype=np.float32)

    def state(self, group: str, true: Iterable[str]) -> None:
        """Mark a whole group as known, with these of its tags true."""
        facet, tags = LAYERS[group]
        self.known[[_PLACES[facet, tag] for tag in tags]] = 1
        self.labels[[_PLACES[facet, tag] for tag in true]] = 1

    def state_vocals(self, families: Iterable[str], kinds: Iterable[str]) -> None:
        """Voices among the families say that there are vocals, not always which."""
        if "choir" not in set(families):  # the family of all voices
            self.state("vocals", ["none"])
            return
        for kind in ("none", *kinds):
            self.known[_PLACES["vocals", kind]] = 1
            self.labels[_PLACES["vocals", kind]] = float(kind != "none")
