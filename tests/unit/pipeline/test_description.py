"""`muscaps corpus describe`: captions from the facts of a catalogue and of a rendered corpus."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from muscaps.corpus.clip import ClipSpec
from pipeline.training.description import DESCRIBED_SCHEMA, DescriptionConfig, describe_tracks
from pipeline.training.pair_files import read_pairs
from pipeline.training.rendering import RenderingConfig, render_corpus

CATALOGUE = """track_id,uri,genre,feel,instruments,bpm,split_group,description
a,a.opus,Silent Film Score,"Bouncy, Dark",Piano,129,one,prose
b,b.opus,Electronica,"Dark, Driving","Synths, Percussion",120,two,prose
c,c.opus,Rock,,,,three,prose
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.csv"
    path.write_text(CATALOGUE)
    return path


def test_a_catalogue_becomes_pairs_that_prepare_reads(catalogue: Path, tmp_path: Path) -> None:
    output = tmp_path / "pairs.parquet"
    summary = describe_tracks(DescriptionConfig(source=str(catalogue), output=str(output), num_captions=4))
    assert (summary.described, summary.too_few_facts) == (2, 1)
    table = pq.read_table(output)
    assert table.schema.equals(DESCRIBED_SCHEMA)
    first = table.to_pylist()[0]
    assert first["uri"] == str(tmp_path / "a.opus")
    assert (first["families"], first["moods"], first["tempo"]) == (["piano"], ["bright", "dark"], "fast")
    assert first["solo"] and "solo" in first["tags"]
    pairs = read_pairs(str(output))
    assert [pair.track_id for pair in pairs] == ["a", "b"]
    assert all(len(pair.captions) == 4 for pair in pairs)


def test_captions_depend_on_the_track_and_the_seed_only(catalogue: Path, tmp_path: Path) -> None:
    reordered = tmp_path / "reordered.csv"
    lines = CATALOGUE.splitlines()
    reordered.write_text("\n".join([lines[0], lines[2], lines[1]]) + "\n")

    def captions(source: Path, seed: int) -> dict[str, list[str]]:
        output = tmp_path / "out.parquet"
        describe_tracks(DescriptionConfig(source=str(source), output=str(output), seed=seed))
        return {row["track_id"]: row["captions"] for row in pq.read_table(output).to_pylist()}

    assert captions(catalogue, 0) == captions(reordered, 0)
    assert captions(catalogue, 0) != captions(catalogue, 1)


def test_a_corpus_is_described_anew_from_its_stored_facts(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    render_corpus(RenderingConfig(output=str(corpus), num_clips=3, clip=ClipSpec(index=0, seconds=3.0), shard_clips=3))
    output = tmp_path / "pairs.parquet"
    summary = describe_tracks(DescriptionConfig(source=str(corpus / "pairs.parquet"), output=str(output), seed=5))
    assert summary.described == 3
    rendered = {row["track_id"]: row for row in pq.read_table(corpus / "pairs.parquet").to_pylist()}
    for row in pq.read_table(output).to_pylist():
        clip = rendered[row["track_id"]]
        assert row["split"] == clip["split"]
        assert row["captions"] != clip["captions"]
        assert Path(row["uri"]).is_file()
        assert row["tempo"] == clip["tempo"]


def test_a_table_without_facts_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "bare.parquet"
    pq.write_table(pa.table({"uri": ["a.wav"]}), source)
    with pytest.raises(ValueError, match="has facts enough"):
        describe_tracks(DescriptionConfig(source=str(source), output=str(tmp_path / "out.parquet")))
    pq.write_table(pa.table({"path": ["a.wav"]}), source)
    with pytest.raises(ValueError, match="needs the column uri"):
        describe_tracks(DescriptionConfig(source=str(source), output=str(tmp_path / "out.parquet")))


@pytest.mark.parametrize("change", [{"num_captions": 0}, {"seed": -1}])
def test_impossible_settings_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        DescriptionConfig(source="a", output="b", **change)  # type: ignore[arg-type]
