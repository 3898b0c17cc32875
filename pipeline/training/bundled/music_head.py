"""Fit the head that separates music from speech and noise, and add it to a captioner's tag heads.

    python -m pipeline.training.bundled.music_head CHECKPOINT --real real/catalogue.csv OUT

CHECKPOINT is any captioner with tag heads, or `bundled`; OUT is the same captioner with the head, new or fitted again.
Captions do not change: no word claims the head's tag. The other sounds are those of `other_sounds`; the left-out real
tracks choose nothing and are only counted. The features of real tracks are read from --features, or computed and kept
there; without it they are kept beside OUT.
"""

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from muscaps.captioner import Captioner
from muscaps.checkpoint import checkpoint_path, load_checkpoint
from muscaps.tagger import TagHeads
from muscaps.tags import MIN_MUSIC_SCORE, MUSIC
from muscaps.training.tag_heads import LinearHeads, fit_heads
from pipeline.training.bundled import other_sounds
from pipeline.training.bundled.card import save_changed
from pipeline.training.bundled.tracks import PLAIN, read_real_tracks, real_features

logger = logging.getLogger("muscaps.music_head")

Means = npt.NDArray[np.float32]

NUM_SPEECH, NUM_NOISE = 100, 88
RIDGE = 30.0
"""Weight of half the squared norm of the head's weights, on standardised features."""


def fit_music_head(music: Means, others: Means, reference: Means | None = None) -> LinearHeads:
    """Fit the head; music and all other sounds count the same in sum.

    Args:
        music: Mean features of tracks of music, (tracks, feature).
        others: Mean features of speech and noise, (sounds, feature).
        reference: Tracks whose mean and deviation standardise the features; `music` by default.
    """
    means = np.concatenate([music, others])
    labels = np.concatenate([np.ones(len(music)), np.zeros(len(others))]).astype(np.float32)[:, None]
    half = len(means) / 2
    importance = np.where(labels[:, 0] > 0, half / len(music), half / len(others)).astype(np.float32)
    return fit_heads(means, labels, np.ones_like(labels), importance, RIDGE, music if reference is None else reference)


def with_music_head(tagger: TagHeads, head: LinearHeads, card: dict[str, Any]) -> TagHeads:
    """Return the tag heads with the head for music, in place of an earlier one.

    Args:
        tagger: Tag heads of a checkpoint.
        head: What `fit_music_head` returned.
        card: What the head was fitted and measured on; becomes `music_head` in the card's section `tagger`.
    """
    kept = [place for place, name in enumerate(tagger.names) if name != MUSIC]
    return replace(
        tagger,
        names=(*(tagger.names[place] for place in kept), MUSIC),
        weight=torch.cat([tagger.weight[kept], torch.from_numpy(head.weight).to(tagger.weight.dtype)]),
        bias=torch.cat([tagger.bias[kept], torch.from_numpy(head.bias).to(tagger.bias.dtype)]),
        card={**tagger.card, "music_head": card},
    )


def mean_features(captioner: Captioner, waveforms: Iterable[npt.NDArray[np.float32]]) -> Means:
    """Return the mean features of sounds, (sounds, feature)."""
    return np.stack([captioner.features([waveform])[0].mean(axis=0) for waveform in waveforms])


def share_below(head: LinearHeads, means: Means) -> float:
    """Return the fraction of tracks that the head takes for something other than music."""
    scores = 1 / (1 + np.exp(-head.logits(means)[:, 0]))
    return float((scores < MIN_MUSIC_SCORE).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Extract, fit, save."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    other_sounds.require_espeak()
    directory = checkpoint_path(options.checkpoint)
    checkpoint = load_checkpoint(directory)
    if checkpoint.tagger is None:
        raise SystemExit(f"{directory} has no tag heads to which a head for music could be added")
    real = read_real_tracks(options.real, options.exclude_licence)
    captioner = Captioner(load_checkpoint(directory))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    cache = options.features or options.output.parent / f"{options.output.name}-real-features.npz"
    entries = real_features(real, checkpoint.model.feature_extractor, cache)
    music = np.stack([entry.mean for entry in entries if entry.track_id in real.training])
    left_out = np.stack([e.mean for e in entries if e.track_id in real.validation and e.version == PLAIN])
    speech = mean_features(captioner, other_sounds.speech(NUM_SPEECH))
    logger.info("%d voices", len(speech))
    noise = mean_features(captioner, other_sounds.noise(NUM_NOISE))
    head = fit_music_head(music, np.concatenate([speech, noise]))
    flagged = share_below(head, left_out)
    card = {
        "music": f"{len(real.training)} real tracks",
        "speech": f"{NUM_SPEECH} sentences by espeak-ng",
        "noise": f"{NUM_NOISE} computed sounds of {len(other_sounds.KINDS)} kinds",
        "left_out_tracks": len(left_out),
        "left_out_taken_for_other_sounds": round(flagged, 3),
    }
    tagger = with_music_head(checkpoint.tagger, head, card)
    model_id = save_changed(checkpoint, options.output, tagger=tagger)
    logger.info("%s: %s, %.1f %% of music left out below %.1f", options.output, model_id,
                100 * flagged, MIN_MUSIC_SCORE)  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="captioner with tag heads, or bundled")
    parser.add_argument("output", type=Path, metavar="OUT")
    parser.add_argument("--real", type=Path, required=True, help="catalogue of real tracks, CSV")
    parser.add_argument(
        "--features",
        type=Path,
        help="features/real.npz of `python -m pipeline.training.bundled`; computed if it is missing",
    )
    parser.add_argument("--exclude-licence", default="BY-SA", help="tracks whose licence contains it are not used")
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
