"""The commands from rendered music to captions, and fine-tuning of the bundled captioner, with one Ray.

It was started in another folder than that of the commands.
"""

import json
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from muscaps.captioner import Captioner
from muscaps.checkpoint import BUNDLED, load_checkpoint
from muscaps.corpus.soundfont import find_soundfonts
from tests.conftest import tones
from tests.muscaps_command import ROOT, muscaps_in_process

SMALL = {
    "render": "--num-clips 24 --seconds 6",
    "prepare": "",
    "pretrain": "--channels 4 --frontend-scale 0.05 --max-epochs 2 --batch-size 8 --threads 1",
    "train": "--hidden-dim 32 --word-dim 16 --learning-rate 5e-3 --max-epochs 3 --threads 1",
    "caption": "",
}
"""What makes the README's training small enough for a test; a later option wins."""


def test_from_rendered_music_to_captions(our_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's commands from rendering to captions, as they stand there, with smaller sizes."""
    pytest.importorskip("symusic")
    if not find_soundfonts():
        pytest.skip("no soundfont is installed")
    (tmp_path / "my-music").mkdir()
    for seed in range(2):
        soundfile.write(tmp_path / "my-music" / f"{seed}.wav", tones(7.0, seed), 16_000)
    [block] = re.findall(r"^```sh\n(muscaps corpus render .*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    results = {}
    monkeypatch.chdir(tmp_path)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)[1:]
        name = next(word for word in words if word in SMALL)
        results[name] = muscaps_in_process(*words, *shlex.split(SMALL[name]))
    assert list(results) == list(SMALL)
    assert "24 clips (24 rendered now" in results["render"].stdout
    assert results["prepare"].stdout.startswith("24 of 24 tracks kept")
    assert (tmp_path / "tagger" / "tags.csv").read_text().startswith("tag,roc_auc,pr_auc")
    assert re.search(r"epoch 1/3: .* at most \d+ .* left", results["train"].stderr)
    best = r"best epoch \d of 3, on the validation split: loss [\d.]+, greedy CIDEr x 100 [\d.]+"
    assert re.search(best, results["train"].stdout)
    captions = pq.read_table(tmp_path / "captions" / "captions").to_pylist()
    assert [row["track_id"] for row in sorted(captions, key=lambda row: row["track_id"])] == ["0.wav", "1.wav"]
    assert all(row["caption"] for row in captions)


def test_the_bundled_captioner_learns_a_word_from_a_few_pairs(our_ray: None, tmp_path: Path) -> None:
    rows = ["uri,caption,split"]
    for index in range(12):
        soundfile.write(tmp_path / f"{index}.wav", tones(4.0, index), 16_000)
        rows.append(f'{index}.wav,"a slow, bouncetastic piece for piano",{"train" if index < 8 else "validation"}')
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    muscaps_in_process(
        "dataset", "prepare", tmp_path / "pairs.csv", tmp_path / "data", "--min-seconds", 0, "--keep-duplicates"
    )
    settings = ("--learning-rate", 2e-3, "--max-epochs", 30, "--threads", 1, "--blend", 1, "--replay", 0, "--json")
    done = muscaps_in_process("train", tmp_path / "data", tmp_path / "tuned", "--from", "bundled", *settings)
    result = json.loads(done.stdout)
    assert (result["epochs"], result["blend"]) == (30, 1)
    assert result["comparison"]["verdict"] == "cannot tell"  # there is no test pair
    before, after = load_checkpoint(BUNDLED), load_checkpoint(tmp_path / "tuned" / "best")
    assert after.card["training"]["started_from"] == before.model_id
    assert after.vocabulary.words[: len(before.vocabulary)] == before.vocabulary.words
    assert "bouncetastic" in after.vocabulary.words[len(before.vocabulary) :]
    [caption] = Captioner.load(tmp_path / "tuned" / "best").caption([tones(4.0, 0)], sample_rate=16_000)
    assert caption.text == "A slow, bouncetastic piece for piano."
