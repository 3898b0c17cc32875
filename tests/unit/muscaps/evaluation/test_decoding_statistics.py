"""Statistics of decoded captions, by hand counts."""

import pytest

from muscaps.evaluation.decoding_statistics import count_immediate_repetitions, decoding_statistics


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("rock rock", 1),
        ("rock rock rock", 2),
        ("and strings and strings", 1),
        ("bass bass and bass", 1),
        ("warm strings and warm piano", 0),
        ("a b c d a b c d", 1),
        ("", 0),
    ],
)
def test_immediate_repetitions_are_counted_once(text: str, count: int) -> None:
    assert count_immediate_repetitions(text.split()) == count


def test_decoding_statistics_match_a_hand_count() -> None:
    captions = ["Rock rock <unk> guitar.", "<sos> calm piano <eos>", "calm piano", ""]
    statistics = decoding_statistics(captions, training_captions=["Calm piano!", "jazz"])
    assert statistics.num_captions == 4
    assert statistics.mean_words == 2
    assert statistics.unk_per_caption == 0.25
    assert statistics.repetitions_per_caption == 0.25
    assert statistics.captions_with_repetition == 0.25
    assert statistics.repeated_ngrams_per_caption == 0
    assert statistics.vocabulary_used == 4
    assert statistics.distinct_captions == 0.75
    assert statistics.empty_captions == 1
    assert statistics.novel_captions == 0.5
    assert decoding_statistics(captions).novel_captions is None
    assert decoding_statistics(["a b c a b c"]).repeated_ngrams_per_caption == 3  # "a b", "b c", "a b c"
