"""Ray's folder has a path that is short enough for its Unix sockets."""

import os
from pathlib import Path

import pytest

from pipeline.cluster.temporary_folder import (
    MAX_SOCKET_BYTES,
    SOCKET_SUFFIX_BYTES,
    remove_short_folders,
    short_temporary_folder,
)


def test_a_short_folder_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert short_temporary_folder() is None


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_is_reached_through_a_short_link(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("ü" * 40)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, str(long))
    link = short_temporary_folder()
    assert link is not None
    assert len(os.fsencode(link)) + SOCKET_SUFFIX_BYTES <= MAX_SOCKET_BYTES
    (Path(link) / "session").mkdir()
    assert (long / "ray" / "session").is_dir()
    remove_short_folders()
    assert not Path(link).parent.exists()
    assert (long / "ray" / "session").is_dir()
