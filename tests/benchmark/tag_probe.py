"""How much an audio network's features know of real tracks: ROC-AUC per tag of a linear model, beside mel statistics.

The catalogue is a CSV with `uri`, `instruments`, `feel` and `bpm`. Ridge regression on standardised features, its
strength chosen inside each training fold by leave-one-out; four folds over tracks, twenty shuffles, the mean ROC-AUC
of the folds. Both kinds of features go through the same.

    python tests/benchmark/tag_probe.py CATALOGUE.csv
"""

import argparse
import csv
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

FEWEST = 4
"""Tracks that must have a tag, and that must not, for it to be measured."""
FAMILIES = {
    "piano": r"piano|ep|keys",
    "organ": r"organs?|accordion",
    "guitar": r"guitar|lute",
    "bass": r"bass(es)?",
    "strings": r"strings|violins|violas|cellos?",
    "brass": r"brass|trumpets?|trombones?|horns?|tuba|helicons",
    "woodwind": r"flutes?|oboe|clarinet|bassoons?|piccolo|crumhorns",
    "sax": r"sax",
    "mallets": r"marimba|xylophone|glock\w*|celesta|bells",
    "drums": r"drums|percussion|kit|tympani",
    "synth": r"synths?|electronics?",
    "choir": r"choir",
    "harp": r"harp",
}
FEELS = {
    "bright mood": r"bright|bouncy|humorous|uplifting",
    "dark mood": r"dark|mysterious|suspenseful|eerie|somber|unnerving",
    "high energy": r"driving|action|aggressive|intense|epic|bouncy",
}


def labels_of(rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """Tags of the tracks by name, each (tracks,) of bool."""
    labels = {}
    for column, table in (("instruments", FAMILIES), ("feel", FEELS)):
        for name, words in table.items():
            labels[name] = np.array([bool(re.search(rf"\b({words})\b", row[column].lower())) for row in rows])
    bpm = np.array([float(row["bpm"] or "nan") for row in rows])
    return labels | {"slow tempo": bpm < 85, "fast tempo": bpm > 128}


def mel_statistics(waveform: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of 96 log-mel bands, (192,)."""
    import torch
    import torchaudio

    mel = torchaudio.transforms.MelSpectrogram(16_000, n_fft=512, hop_length=256, n_mels=96)
    bands = torch.log10(mel(torch.from_numpy(waveform)) + 1e-6)
    return torch.cat([bands.mean(1), bands.std(1)]).numpy()


def roc_auc(features: np.ndarray, labels: np.ndarray, shuffles: int) -> float:
    """Mean ROC-AUC of ridge regression on tracks it was not fitted on.

    Within a fold, since what models of different folds say is not comparable: one that saw fewer positives says less.

    Args:
        features: (tracks, feature).
        labels: (tracks,) of bool.
        shuffles: Ways to cut the tracks into folds.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import RepeatedStratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 6, 13)))
    scores = []
    for known, asked in RepeatedStratifiedKFold(n_splits=4, n_repeats=shuffles, random_state=0).split(features, labels):
        if 0 < labels[asked].sum() < len(asked):
            said = model.fit(features[known], labels[known].astype(float)).predict(features[asked])
            scores.append(roc_auc_score(labels[asked], said))
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="captioner whose audio network is measured")
    parser.add_argument("--shuffles", type=int, default=20)
    arguments = parser.parse_args()
    from muscaps import Captioner, load_audio
    from muscaps.checkpoint import BUNDLED

    with arguments.catalogue.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    waveforms = [load_audio(str(arguments.catalogue.parent / row["uri"])) for row in rows]
    captioner = Captioner.load(arguments.checkpoint or BUNDLED)
    pooled = np.stack([features.mean(0) for features in captioner.features(waveforms)])
    mels = np.stack([mel_statistics(waveform) for waveform in waveforms])
    print(f"{len(rows)} tracks; {pooled.shape[1]} pooled features, {mels.shape[1]} mel statistics")
    labels = {name: found for name, found in labels_of(rows).items() if FEWEST <= found.sum() <= len(rows) - FEWEST}
    table = [
        (name, found, *(roc_auc(x, found, arguments.shuffles) for x in (pooled, mels)))
        for name, found in labels.items()
    ]
    for name, found, ours, theirs in table:
        print(f"| {name} | {found.sum()} | {ours:.2f} | {theirs:.2f} |")
    for title, chosen in (("families", FAMILIES), ("the others", {*labels} - {*FAMILIES}), ("all", labels)):
        means = np.mean([scores for name, _, *scores in table if name in chosen], axis=0)
        print(f"| mean of {title} | | {means[0]:.2f} | {means[1]:.2f} |")


if __name__ == "__main__":
    main()
