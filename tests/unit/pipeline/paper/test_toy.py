"""The toy dataset."""

from pathlib import Path

from muscaps.training.dataset.reader import PreparedDataset
from pipeline.paper.toy import NUM_TRACKS, write_toy_dataset
from pipeline.paper.track_facts import TrackFacts


def test_captions_of_the_toy_dataset_are_true(tmp_path: Path) -> None:
    folder, table = write_toy_dataset(tmp_path)
    dataset, facts = PreparedDataset(folder), TrackFacts(table)
    assert len(dataset.examples) == NUM_TRACKS
    scores = facts.scores([e.track_id for e in dataset.examples], [e.captions[0] for e in dataset.examples])
    assert scores is not None and scores["facts_precision"] == 1.0
    assert set(facts.subsets([e.track_id for e in dataset.split("test")])) == {"test", "real"}
    written = (folder / "dataset.json").stat().st_mtime_ns
    write_toy_dataset(tmp_path)
    assert (folder / "dataset.json").stat().st_mtime_ns == written
