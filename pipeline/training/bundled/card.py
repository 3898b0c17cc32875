"""What the bundled captioner's model card says of its training tracks: attribution, licences and counts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from muscaps.checkpoint import Checkpoint, further_sections, save_checkpoint
from muscaps.tagger import TagHeads
from pipeline.training.bundled.tracks import RealTracks

MUSICNN_NOTICE = "musicnn (Pons and Serra), weights of MTT_musicnn"


def description(tracks: RealTracks, clips: Mapping[str, Any]) -> str:
    """Say in one sentence what was trained on."""
    return (
        f"excerpts of {len(tracks.training)} openly licensed recordings with facts of their makers, and {len(clips)} "
        "clips of 12 s rendered by `muscaps corpus render`; captions are written from the facts by a grammar"
    )


def origin_of_networks(small: Mapping[str, Any]) -> dict[str, Any]:
    """Say where the audio networks come from.

    Args:
        small: Card of the captioner that the small network is taken from; what it says of that network is kept.
    """
    published = "MTT_musicnn of musicnn 0.1.0, trained on MagnaTagATune by its authors; unchanged"
    own = small.get("training", {}).get("small_network")
    return {"published_network": published, **({"small_network": own} if own else {})}


def attribution(tracks: RealTracks) -> dict[str, Any]:
    """Return artists with their titles and licences of the real tracks trained on, and those validated on."""
    return {
        "training_tracks": len(tracks.training),
        "training_licences": _licences(tracks, tracks.training),
        "training_artists": _by_artist(tracks, tracks.training),
        "validation_tracks": sorted(tracks.validation),
        "validation_licences": _licences(tracks, tracks.validation),
    }


def _licences(tracks: RealTracks, chosen: Iterable[str]) -> dict[str, int]:
    """Tracks by licence, the part of the cell before its first bracket or semicolon."""
    counts = Counter(_licence(tracks.rows[track_id]) for track_id in chosen)
    return dict(counts.most_common())


def _licence(row: Mapping[str, str]) -> str:
    return row["licence"].partition("(")[0].partition(";")[0].strip()


def _by_artist(tracks: RealTracks, chosen: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for track_id in sorted(chosen):
        row = tracks.rows[track_id]
        found.setdefault(row["artist"], {}).setdefault(_licence(row), []).append(row["title"])
    return dict(sorted(found.items()))


def save_changed(
    checkpoint: Checkpoint, output: Path, *, tagger: TagHeads | None = None, metrics: Mapping[str, Any] | None = None
) -> str:
    """Write a captioner with other tag heads or more metrics; everything else stays as it is.

    Returns:
        The new checkpoint's `model_id`.
    """
    card = checkpoint.card
    return save_checkpoint(
        output,
        checkpoint.model,
        checkpoint.vocabulary,
        name=card["name"],
        training=card["training"],
        metrics={**card["metrics"], **(metrics or {})},
        departures=card["departures"],
        tagger=tagger or checkpoint.tagger,
        sections=further_sections(card),
    )
