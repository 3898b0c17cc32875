"""A folder keeps to what it was begun with: the same settings go on, others are refused by name."""

from pathlib import Path

import pytest

from pipeline.output.claims import claim

SETTINGS = {"seed": 1, "clip": {"seconds": 3.0, "folder": Path("music")}, "rates": (1, 2)}


def test_the_same_settings_go_on_and_others_are_named(tmp_path: Path) -> None:
    claim(tmp_path / "out", "settings.json", "corpus", SETTINGS)
    claim(tmp_path / "out", "settings.json", "corpus", SETTINGS)
    with pytest.raises(ValueError, match=r"another corpus \(clip.seconds was 3.0, is 4.0; seed was 1, is None\)"):
        claim(
            tmp_path / "out", "settings.json", "corpus", {"clip": SETTINGS["clip"] | {"seconds": 4.0}, "rates": [1, 2]}
        )
    claim(tmp_path / "other", "settings.json", "corpus", {**SETTINGS, "seed": 2})


def test_many_differences_are_cut_short(tmp_path: Path) -> None:
    claim(tmp_path, "settings.json", "corpus", {str(number): 0 for number in range(5)})
    with pytest.raises(ValueError, match=r"\(0 was 0, is 1; 1 was 0, is 1; 2 was 0, is 1; \.\.\.\)"):
        claim(tmp_path, "settings.json", "corpus", {str(number): 1 for number in range(5)})
