"""Search: index, files and batches do not change the ranking that scoring every track gives."""

import json
from pathlib import Path

import numpy as np
import pytest

from muscaps.captioner import Captioner
from pipeline.output.newest import OutputError
from pipeline.reading.search import SearchConfig, search
from pipeline.reading.search.scoring import BACKGROUND_SENTENCES
from tests.conftest import save_tiny_checkpoint
from tests.finished_output import caption_row, write_captions, write_features

QUERY = "a slow dark piano tune"


@pytest.fixture(scope="module", params=["early", "late", "attention"])
def captioner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Captioner]:
    directory = save_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", fusion=request.param)
    return directory, Captioner.load(directory)


def planted(captioner: Captioner, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random features of 1 to 9 chunks, as float16 holds them."""
    rng = np.random.default_rng(seed)
    return {
        f"t{n:04d}": rng.standard_normal((int(rng.integers(1, 10)), captioner.feature_dim)).astype(np.float16)
        for n in range(count)
    }


def brute_force(captioner: Captioner, features: dict[str, np.ndarray], query: str = QUERY) -> list[tuple[str, float]]:
    scores = captioner.score(list(features.values()), query)
    return sorted(zip(features, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))


def test_hits_equal_those_of_scoring_every_track(tmp_path: Path, captioner: tuple[Path, Captioner]) -> None:
    directory, model = captioner
    features = planted(model, 60)
    names = list(features)
    for number, part in enumerate((names[:25], names[25:26], names[26:])):
        write_features(tmp_path, {n: features[n] for n in part}, f"part-{number}.parquet", model.model_id)
    expected = brute_force(model, features)[:7]
    for again in range(2):  # the second time from the index
        result = search(SearchConfig(output=str(tmp_path), query=QUERY, top=7, checkpoint=str(directory), exact=True))
        assert [hit.track_id for hit in result.hits] == [name for name, _ in expected], again
        np.testing.assert_allclose([hit.score for hit in result.hits], [s for _, s in expected], atol=1e-4)
        assert (result.tracks, result.unknown) == (60, {})


def test_candidates_of_an_attention_model_get_their_exact_scores(tmp_path: Path, tiny_checkpoint: Path) -> None:
    model = Captioner.load(tiny_checkpoint)
    features = planted(model, 50)
    write_features(tmp_path, features, model_id=model.model_id)
    result = search(SearchConfig(output=str(tmp_path), query=QUERY, top=2, checkpoint=str(tiny_checkpoint)))
    scores = dict(brute_force(model, features))
    for hit in result.hits:
        assert hit.score == pytest.approx(scores[hit.track_id], abs=1e-4)
    assert result.hits[0].track_id == brute_force(model, features)[0][0]  # 40 of 50 are candidates


def test_bias_correction_subtracts_the_mean_of_background_sentences(
    tmp_path: Path, captioner: tuple[Path, Captioner]
) -> None:
    directory, model = captioner
    features = planted(model, 20)
    write_features(tmp_path, features, model_id=model.model_id)
    lengths = {sentence: len(sentence.split()) + 1 for sentence in BACKGROUND_SENTENCES}
    per_word = [model.score(list(features.values()), s) / n for s, n in lengths.items()]
    corrected = model.score(list(features.values()), QUERY) - 6 * np.mean(per_word, axis=0)
    expected = dict(zip(features, corrected, strict=True))
    config = SearchConfig(
        output=str(tmp_path), query=QUERY, top=20, checkpoint=str(directory), bias_correction=True, exact=True
    )
    for _ in range(2):
        result = search(config)
        assert len(result.hits) == 20
        for hit in result.hits:
            assert hit.score == pytest.approx(expected[hit.track_id], abs=1e-4)


def test_a_track_written_twice_is_ranked_once_with_its_newer_features(tmp_path: Path, tiny_checkpoint: Path) -> None:
    import os

    model = Captioner.load(tiny_checkpoint)
    old, new = planted(model, 6, seed=1), planted(model, 3, seed=2)
    write_features(tmp_path, old, "part-old.parquet", model.model_id)
    os.utime(tmp_path / "features" / "part-old.parquet", (1, 1))
    write_features(tmp_path, new, "part-new.parquet", model.model_id)
    result = search(SearchConfig(output=str(tmp_path), query=QUERY, checkpoint=str(tiny_checkpoint)))
    expected = dict(brute_force(model, {**old, **new}))
    assert {hit.track_id: pytest.approx(hit.score, abs=1e-4) for hit in result.hits} == expected


def test_index_files_without_a_features_file_are_removed(tmp_path: Path, tiny_checkpoint: Path) -> None:
    model = Captioner.load(tiny_checkpoint)
    write_features(tmp_path, planted(model, 4), "part-a.parquet", model.model_id)
    config = SearchConfig(output=str(tmp_path), query=QUERY, checkpoint=str(tiny_checkpoint), bias_correction=True)
    search(config)
    index = tmp_path / "search" / model.model_id
    assert sorted(path.name for path in index.iterdir()) == ["part-a.bias.parquet", "part-a.parquet"]
    (tmp_path / "features" / "part-a.parquet").rename(tmp_path / "features" / "part-b.parquet")
    search(config)
    assert sorted(path.name for path in index.iterdir()) == ["part-b.bias.parquet", "part-b.parquet"]


def test_a_damaged_index_is_built_again(tmp_path: Path, tiny_checkpoint: Path) -> None:
    model = Captioner.load(tiny_checkpoint)
    write_features(tmp_path, planted(model, 4), "part-a.parquet", model.model_id)
    config = SearchConfig(output=str(tmp_path), query=QUERY, checkpoint=str(tiny_checkpoint))
    before = search(config)
    index = tmp_path / "search" / model.model_id / "part-a.parquet"
    index.write_bytes(index.read_bytes()[:100])
    assert search(config).hits == before.hits


def test_hits_have_the_columns_of_captions(tmp_path: Path, tiny_checkpoint: Path) -> None:
    model = Captioner.load(tiny_checkpoint)
    write_features(tmp_path, planted(model, 3), model_id=model.model_id)
    write_captions(tmp_path, [caption_row(n, track_id=f"t{n:04d}", title=f"Title {n}") for n in range(2)])
    hits = search(SearchConfig(output=str(tmp_path), query=QUERY, checkpoint=str(tiny_checkpoint))).hits
    known = {hit.track_id: hit.known for hit in hits}
    assert known["t0001"]["title"] == "Title 1"
    assert known["t0001"]["caption"] == caption_row(1)["caption"]
    assert known["t0002"] == {}


def test_features_of_another_model_are_rejected_by_name(tmp_path: Path, tiny_checkpoint: Path) -> None:
    model = Captioner.load(tiny_checkpoint)
    write_features(tmp_path, planted(model, 3), model_id="other-1")
    with pytest.raises(OutputError, match=f"no rows of model '{model.model_id}'; its models: other-1"):
        search(SearchConfig(output=str(tmp_path), query=QUERY, checkpoint=str(tiny_checkpoint)))
    with pytest.raises(OutputError, match="--save-features"):
        search(SearchConfig(output=str(tmp_path / "none"), query=QUERY, checkpoint=str(tiny_checkpoint)))


def test_the_command_prints_json_or_a_table(tmp_path: Path, tiny_checkpoint: Path) -> None:
    from typer.testing import CliRunner

    from jobs.cli import app

    model = Captioner.load(tiny_checkpoint)
    write_features(tmp_path, planted(model, 30), model_id=model.model_id)
    write_captions(tmp_path, [caption_row(n, track_id=f"t{n:04d}") for n in range(30)])
    arguments = ["search", str(tmp_path), "slow piano kazoo", "--top", "3", "--checkpoint", str(tiny_checkpoint)]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0
    hits = json.loads(result.stdout)
    assert len(hits) == 3
    assert {"track_id", "score", "caption", "uri"} <= set(hits[0])
    assert "'kazoo' is not known and left out" in result.stderr
    shown = CliRunner().invoke(app, arguments)
    assert hits[0]["track_id"] in shown.stdout
    refused = CliRunner().invoke(app, [*arguments[:2], "qwertz", *arguments[3:]])
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
