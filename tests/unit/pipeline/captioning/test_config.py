"""How much of a track a run processes."""

import pytest

from muscaps.config import DecodingOptions
from pipeline.captioning.config import CaptioningConfig


def config(**settings):
    return CaptioningConfig(catalogue="music", output="captions", **settings)


@pytest.mark.parametrize(("effort", "num_chunks", "only_needed"), [("quick", 5, True), ("thorough", 20, False)])
def test_the_effort_decides_how_many_chunks_are_processed_and_whether_others_are_decoded(
    effort, num_chunks, only_needed
):
    chosen = config(effort=effort)
    assert (chosen.chunks_per_track, chosen.only_needed) == (num_chunks, only_needed)


def test_a_run_is_balanced_unless_captions_of_parts_are_wanted():
    assert config().recorded_effort == "balanced"
    assert config(options=DecodingOptions(attention=True)).recorded_effort == "thorough"
    with pytest.raises(ValueError, match="segments and attention need effort thorough, not quick"):
        config(options=DecodingOptions(attention=True), effort="quick")


@pytest.mark.parametrize(("max_chunks", "effort"), [(3, "quick"), (19, "balanced"), (20, "thorough")])
def test_a_number_of_chunks_counts_as_the_effort_that_it_reaches(max_chunks, effort):
    chosen = config(max_chunks=max_chunks)
    assert (chosen.recorded_effort, chosen.only_needed) == (effort, False)
    with pytest.raises(ValueError, match="replaces an effort"):
        config(max_chunks=max_chunks, effort="quick")


def test_an_unknown_effort_is_rejected():
    with pytest.raises(ValueError, match="effort must be quick, balanced or thorough, not 'most'"):
        config(effort="most")


@pytest.mark.parametrize("options", [DecodingOptions(segment_seconds=30), DecodingOptions(attention=True)])
def test_captions_of_parts_need_the_whole_track(options):
    assert config(options=options).chunks_per_track == 600


def test_a_number_that_is_given_holds():
    assert config(max_chunks=7, options=DecodingOptions(segment_seconds=30)).chunks_per_track == 7


def test_a_track_has_at_least_one_chunk():
    with pytest.raises(ValueError, match="max_chunks must be at least 1"):
        config(max_chunks=0)
