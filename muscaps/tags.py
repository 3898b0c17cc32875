"""Tags of a track with scores, and which of them count; no torch.

Conventions:

- A tag is a facet and a name from `muscaps.lexicon`; the facets are genre, mood, instrument, energy, tempo and vocals.
- A score is a calibrated probability: of the tags with score 0.8, about 80 % should be right. A tag counts from
  `MIN_TAG_SCORE` on: it is then at least as likely right as wrong.
- Two tempos exclude each other, as do two energies, and dark and bright. Of these, the tag with the highest score
  counts.
- Facet content has one tag, music: the probability that a track is music at all, and not speech or noise.
- The score of vocals is 1 minus the score of the tag vocals: none. Between `NO_VOCALS_BELOW` and `MIN_TAG_SCORE` it is
  unknown whether there are vocals.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from muscaps.lexicon import exclude_each_other

MIN_TAG_SCORE = 0.5
"""Score from which a tag counts. Precision on 56 tracks that no head was trained on: docs/evaluation.md."""
NO_VOCALS_BELOW = 0.15
"""Score of vocals below which a track counts as instrumental. Of 6 tracks with a choir or a voice that no head was
trained on, the two lowest scores are 0.20 and 0.23."""


MUSIC = ("content", "music")
"""Facet and tag of the head that separates music from speech and noise."""
MIN_MUSIC_SCORE = 0.5
"""Score of `MUSIC` below which a track is probably speech or noise, and its caption and tags mean nothing. How many
tracks of music and of other sounds are below: docs/trust.md."""


@dataclass(frozen=True, kw_only=True)
class Tag:
    """One tag of a track."""

    facet: str
    """genre, mood, instrument, energy, tempo, vocals or content."""
    tag: str
    """Name of the tag, e.g. `strings`."""
    score: float
    """Calibrated probability that the tag is right."""


def counted_tags(tags: Sequence[Tag], min_score: float = MIN_TAG_SCORE) -> list[Tag]:
    """Return the tags that count, in their order.

    Args:
        tags: All tags of a track, or those with the highest scores.
        min_score: Score from which a tag counts.
    """
    counted: list[Tag] = []
    for tag in sorted(tags, key=lambda tag: -tag.score):
        if tag.score < min_score:
            break
        if not any(exclude_each_other(tag.facet, tag.tag, other.facet, other.tag) for other in counted):
            counted.append(tag)
    return [tag for tag in tags if tag in counted]


def vocals_score(tags: Iterable[Tag]) -> float | None:
    """Return the probability of vocals from all tags of a track; None where the tagger has no tag vocals: none."""
    return next((1 - tag.score for tag in tags if (tag.facet, tag.tag) == ("vocals", "none")), None)


def has_vocals(score: float | None) -> bool | None:
    """Return whether a track has vocals by their score; None if that is unknown."""
    if score is None or NO_VOCALS_BELOW <= score < MIN_TAG_SCORE:
        return None
    return score >= MIN_TAG_SCORE


def music_score(tags: Iterable[Tag]) -> float | None:
    """Return the probability that a track is music, from all of its tags; None where the tagger has no such head."""
    return next((tag.score for tag in tags if (tag.facet, tag.tag) == MUSIC), None)
