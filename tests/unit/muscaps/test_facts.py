"""Claims held against catalogue facts: hand-counted examples, an independent count, shuffles, intervals, JSON."""

import json
import random

import pytest

from muscaps.evaluation.facts import LAYERS, FactsOptions, facts_in, measure_facet
from muscaps.evaluation.facts_report import evaluate_facts, facts_as_json

FEW = FactsOptions(num_shuffles=20, num_resamples=20)


def row(instruments="", feel="", genre="", bpm=0):
    return {"instruments": instruments, "feel": feel, "genre": genre, "bpm": bpm}


ROWS = [
    row("Piano, Strings", "Dark, Mysterious", "Horror", 70),
    row("Synths, Kit", "Bouncy, Bright", "Electronica", 140),
    row("Guitar", "Dark, Bright", "Rock", 100),
    row("", "Calming, Relaxed", "", 0),
]
CAPTIONS = [
    "A dark, slow piano piece with flute",  # piano right, flute wrong, strings missed; dark right; slow right
    "Bright electronica with synths and drums at a moderate tempo",  # all right except the tempo
    "Bright rock with piano",  # piano wrong; both moods are stated, so mood does not count
    "Calm, bright guitar music",  # instruments unknown; energy low is right
]


def measured(layer, captions=CAPTIONS, rows=ROWS, options=FEW):
    return measure_facet(layer, captions, rows, options)


def test_instrument_families_counted_by_hand():
    found = measured("family")
    assert found.num_tracks == 3
    assert (found.rates.num_claims, found.rates.num_facts, found.rates.num_hits) == (5, 5, 3)
    assert (found.rates.precision, found.rates.recall) == (3 / 5, 3 / 5)
    assert found.named_per_caption == 5 / 4


def test_mood_energy_and_tempo_counted_by_hand():
    mood, energy, tempo = measured("mood"), measured("energy"), measured("tempo")
    assert (mood.num_tracks, mood.rates.num_claims, mood.rates.precision) == (2, 2, 1.0)
    assert (energy.num_tracks, energy.rates.num_claims, energy.rates.precision) == (2, 1, 1.0)
    assert (tempo.num_tracks, tempo.rates.num_claims, tempo.rates.precision) == (3, 2, 0.5)


def test_genres_counted_by_hand():
    genre = measured("genre")
    assert (genre.num_tracks, genre.rates.num_claims, genre.rates.precision) == (3, 2, 1.0)
    assert genre.rates.recall == pytest.approx(2 / 3)


def test_an_empty_cell_is_unknown_and_opposite_moods_do_not_count():
    assert facts_in(row(), "family") == facts_in(row(bpm=0), "tempo") == facts_in({}, "mood") == frozenset()
    assert facts_in(row(feel="Dark, Bright"), "mood") == frozenset()
    assert facts_in(row(feel="Dark, Bright, Eerie"), "feel") == {"eerie"}


@pytest.mark.parametrize("bpm", ["120", 120, 120.0])
def test_bpm_may_be_a_number_or_its_text(bpm):
    assert facts_in({"bpm": bpm}, "tempo") == {"medium"}


def test_a_list_of_instruments_reads_like_a_text():
    assert facts_in({"instruments": ["Piano", "Double Bass"]}, "family") == {"piano", "bass"}


def test_a_bpm_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="bpm must be a number, not 'quick'"):
        facts_in({"bpm": "quick"}, "tempo")


def test_words_count_their_captions_and_how_many_are_right():
    words = {word.word: word for word in measured("family").words}
    assert (words["piano"].num_claims, words["piano"].precision) == (2, 0.5)
    assert words["piano"].base_rate == pytest.approx(1 / 3)
    assert "guitar" not in words  # only in the caption of the track whose instruments are unknown


def test_tags_have_their_own_rates():
    tags = measured("family").tags
    assert (tags["strings"].precision, tags["strings"].recall) == (None, 0.0)
    assert (tags["drums"].precision, tags["drums"].recall) == (1.0, 1.0)
    assert "choir" not in tags


def plain_counts(captions, rows):
    """Count families again, by substrings of a few words that need no lexicon."""
    words = {"piano": "piano", "guitar": "guitar", "flute": "woodwind", "violin": "strings", "synths": "synth"}
    hits = claims = facts = 0
    for caption, entry in zip(captions, rows, strict=True):
        claimed = {family for word, family in words.items() if word in caption.lower()}
        real = {family for word, family in words.items() if word in entry["instruments"].lower()}
        if real:
            hits, claims, facts = hits + len(claimed & real), claims + len(claimed), facts + len(real)
    return hits / claims, hits / facts, claims / len(captions)


def random_tracks(num_tracks, seed):
    rng, names = random.Random(seed), ["piano", "guitar", "flute", "violin", "synths"]
    captions = ["Music with " + " and ".join(rng.sample(names, rng.randint(1, 3))) for _ in range(num_tracks)]
    rows = [row(", ".join(rng.sample(names, rng.randint(0, 3)))) for _ in range(num_tracks)]
    return captions, rows


def test_precision_and_recall_agree_with_an_independent_count():
    captions, rows = random_tracks(200, seed=1)
    found = measured("family", captions, rows)
    assert (found.rates.precision, found.rates.recall, found.named_per_caption) == plain_counts(captions, rows)


def test_shuffled_precision_agrees_with_shuffling():
    captions, rows = random_tracks(60, seed=2)
    rng, precisions = random.Random(3), []
    for _ in range(2000):
        shuffled = captions[:]
        rng.shuffle(shuffled)
        precisions.append(plain_counts(shuffled, rows)[0])
    found = measured("family", captions, rows)
    assert found.rates.shuffled_precision == pytest.approx(sum(precisions) / len(precisions), abs=0.004)


def test_captions_without_relation_to_their_tracks_have_a_lift_of_one():
    captions, rows = random_tracks(2000, seed=4)
    found = measured("family", captions, rows, FactsOptions(num_shuffles=200, num_resamples=200))
    assert found.rates.lift == pytest.approx(1.0, abs=0.06)
    assert found.lift_interval[0] < 1 < found.lift_interval[1]
    assert 0.02 < found.p_value < 0.98


def test_captions_that_repeat_the_facts_are_right_beyond_chance():
    _, rows = random_tracks(100, seed=5)
    found = measured("family", [entry["instruments"] for entry in rows], rows)
    assert (found.rates.precision, found.rates.recall, found.p_value) == (1.0, 1.0, 0.0)
    assert found.precision_interval == (1.0, 1.0)
    assert found.rates.lift > 1.5


def test_intervals_hold_the_estimate_and_shrink_with_more_tracks():
    widths = []
    for num_tracks in (50, 800):
        captions, rows = random_tracks(num_tracks, seed=6)
        found = measured("family", captions, rows, FactsOptions(num_shuffles=1, num_resamples=200))
        low, high = found.precision_interval
        assert low < found.rates.precision < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_captions_that_claim_nothing_have_no_precision():
    found = measured("family", ["A piece of music"] * 4)
    assert (found.rates.precision, found.rates.lift, found.p_value, found.rates.recall) == (None, None, None, 0.0)


def test_the_same_seed_gives_the_same_result():
    assert measured("family") == measured("family")


def test_captions_and_rows_must_fit():
    with pytest.raises(ValueError, match="1 captions do not fit 4 catalogue rows"):
        measured("family", CAPTIONS[:1])


def test_json_is_flat_with_facets_as_objects():
    tags = [[("instrument", "piano", 0.9)], [("instrument", "synth", 0.7)], [], []]
    found = facts_as_json(evaluate_facts(CAPTIONS, ROWS, tags, FEW))
    found = json.loads(json.dumps(found))
    assert (found["num_captions"], found["distinct_captions"]) == (4, 4)
    assert found["instrument_family"]["precision"] == 0.6
    assert found["instrument_family"]["tags"]["piano"]["recall"] == 1.0
    assert found["instrument_family"]["words"][0]["word"] == "piano"
    assert found["calibration"]["all"]["num_scores"] == 2
    assert found["calibration"]["instrument"]["expected_calibration_error"] == pytest.approx(0.2)
    assert {"mood", "energy", "tempo", "genre"} < found.keys()


def test_without_tag_scores_there_is_no_calibration():
    assert facts_as_json(evaluate_facts(CAPTIONS, ROWS, None, FEW))["calibration"] is None


def test_facets_without_any_fact_are_left_out():
    found = evaluate_facts(["Slow piano"], [row("Piano")], None, FEW)
    assert [facet.layer for facet in found.facets] == ["family"]
    with pytest.raises(ValueError, match="needs instruments, feel, genre or bpm"):
        evaluate_facts(["Slow piano"], [row()], None, FEW)


def test_every_layer_of_the_report_has_a_column():
    full = row("Violin", "Dark, Eerie, Driving", "Rock", 90)
    assert all(facts_in(full, layer) for layer in LAYERS)
