"""The code of docs/library.md runs as written, from top to bottom, with the bundled model."""

import re
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.conftest import tones

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "song.wav", tones(7.0, 1), 16_000)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    for block in blocks:
        exec(block, scope)
    assert len(blocks) == 6
    assert scope["caption"].text
    assert "not_audio" in capsys.readouterr().out
