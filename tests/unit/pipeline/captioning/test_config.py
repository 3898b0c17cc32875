"""How many chunks of a track a run processes."""

import pytest

from muscaps.config import DecodingOptions
from pipeline.captioning.config import CaptioningConfig


def config(**settings):
    return CaptioningConfig(catalogue="music", output="captions", **settings)


def test_a_caption_is_made_from_twenty_chunks():
    assert config().chunks_per_track == 20


@pytest.mark.parametrize("options", [DecodingOptions(segment_seconds=30), DecodingOptions(attention=True)])
def test_captions_of_parts_need_the_whole_track(options):
    assert config(options=options).chunks_per_track == 600


def test_a_number_that_is_given_holds():
    assert config(max_chunks=7, options=DecodingOptions(segment_seconds=30)).chunks_per_track == 7


def test_a_track_has_at_least_one_chunk():
    with pytest.raises(ValueError, match="max_chunks must be at least 1"):
        config(max_chunks=0)
