"""A search on Ray's workers gives the ranking of a search in one process.

Covers: more files than workers, indexes built by workers, an attention model's second step, bias correction, a
checkpoint the workers never see on disk.
"""

from pathlib import Path

import numpy as np
import pytest

from muscaps.captioner import Captioner
from pipeline.reading.search import SearchConfig, SearchResult, search
from tests.conftest import save_tiny_checkpoint
from tests.finished_output import write_features

pytestmark = pytest.mark.usefixtures("our_ray")


@pytest.mark.parametrize("fusion", ["early", "attention"])
@pytest.mark.parametrize("bias_correction", [False, True])
def test_workers_give_the_ranking_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fusion: str, bias_correction: bool
) -> None:
    monkeypatch.chdir(tmp_path)  # Ray was started in another folder
    checkpoint = save_tiny_checkpoint(tmp_path / "model", fusion=fusion)
    model = Captioner.load(checkpoint)
    rng = np.random.default_rng(0)
    for part in range(3):
        features = {
            f"t{part}{n:03d}": rng.standard_normal((int(rng.integers(1, 6)), model.feature_dim)).astype(np.float16)
            for n in range(40)
        }
        write_features(tmp_path / "out", features, f"{part}.parquet", model.model_id)

    def found(address: str | None) -> SearchResult:
        return search(
            SearchConfig(
                output="out",
                query="a slow dark piano tune",
                top=5,
                checkpoint=str(checkpoint),
                bias_correction=bias_correction,
                address=address,
            )
        )

    spread = found("auto")
    assert len(list((tmp_path / "out" / "search" / model.model_id).glob("[0-2].parquet"))) == 3
    alone = found(None)
    assert spread.tracks == alone.tracks == 120
    assert [hit.track_id for hit in spread.hits] == [hit.track_id for hit in alone.hits]
    np.testing.assert_allclose([hit.score for hit in spread.hits], [hit.score for hit in alone.hits], atol=1e-4)
