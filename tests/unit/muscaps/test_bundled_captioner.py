"""The bundled checkpoint, on the bundled excerpts of real music."""

import re
from pathlib import Path

import numpy as np
import pytest

from muscaps import Captioner, DecodingOptions, load_audio
from muscaps.checkpoint import BUNDLED

TRACKS = sorted((Path(__file__).parents[3] / "jobs" / "demo_tracks").glob("*.opus"))


@pytest.fixture(scope="module")
def captioner():
    return Captioner.load(BUNDLED)


@pytest.fixture(scope="module")
def features(captioner):
    """Chunk features of twenty pieces of real music, 2 to 30 s long."""
    waves = [load_audio(path) for path in TRACKS]
    lengths = np.random.default_rng(0).uniform(2, 15, len(waves))
    cut = [wave[: int(seconds * 16_000)] for wave, seconds in zip(waves, lengths, strict=True)]
    return captioner.features(waves + cut)


def test_captions_of_real_music_do_not_depend_on_the_batch(captioner, features):
    assert len(features) == 20
    together = captioner.caption_features(features)
    alone = [captioner.caption_features([track])[0] for track in features]
    by_seven = [c for start in range(0, 20, 7) for c in captioner.caption_features(features[start : start + 7])]
    for one, two, three in zip(together, alone, by_seven, strict=True):
        assert one.text == two.text == three.text
        assert one.log_prob == pytest.approx(two.log_prob, abs=1e-4)
        assert one.log_prob == pytest.approx(three.log_prob, abs=1e-4)


def test_features_of_real_music_do_not_depend_on_the_batch(captioner, features):
    wave = load_audio(TRACKS[3])
    [alone] = captioner.features([wave])
    np.testing.assert_allclose(alone, features[3], atol=1e-4 * np.abs(alone).max())


def test_captions_are_readable_sentences(captioner, features):
    for caption in captioner.caption_features(features[:10]):
        words = caption.text.lower().split()
        assert re.fullmatch(r"[A-Z0-9][^<>]*\.", caption.text), caption.text
        assert 3 <= len(words) <= 22
        pairs = list(zip(words, words[1:], strict=False))
        assert len(pairs) == len(set(pairs)), f"a repeated bigram: {caption.text}"


def test_different_music_gets_different_captions(captioner, features):
    assert len({caption.text for caption in captioner.caption_features(features[:10])}) >= 7


def test_greedy_and_beam_search_agree_on_which_is_more_probable(captioner, features):
    greedy = captioner.caption_features(features[:10], DecodingOptions(beam_size=1))
    beam = captioner.caption_features(features[:10], DecodingOptions(beam_size=5))
    better = sum(b.log_prob >= g.log_prob - 1e-6 for g, b in zip(greedy, beam, strict=True))
    assert better >= 7  # not all: hypotheses are compared with evidence and word reward added


def test_the_model_card_says_what_it_was_trained_on_and_how_often_it_is_right(captioner):
    assert captioner.card["training"]["data"]
    real = captioner.card["metrics"]["real_tracks"]["beam_5"]
    assert real["tracks"] == 56
    assert (real["unk"], real["repeated_words"]) == (0, 0)
    for facet in ("instruments", "mood", "energy", "tempo"):
        assert 0 < real[facet]["shuffled"] < real[facet]["precision"] <= 1


def test_the_tagger_names_tracks_licences_and_reliability(captioner, features):
    card = captioner.card["tagger"]
    assert card["training_tracks"] == sum(card["training_licences"].values())
    assert not any("SA" in licence for licence in card["training_licences"])
    assert {"families", "moods", "tempo"} <= set(card["reliability"])
    tags = captioner.tags(features[:1])[0]
    assert {"instrument", "mood", "energy", "tempo", "genre"} <= {tag.facet for tag in tags}
    assert all(0 < tag.score < 1 for tag in tags)


def test_the_licence_of_the_published_network_lies_beside_it(captioner):
    [notice] = [notice for notice in captioner.card["notices"] if notice["licence"] == "ISC"]
    assert notice["text"].strip() in (BUNDLED / "LICENCE-musicnn.md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 25_000_000


@pytest.mark.parametrize("arguments", [(), ("bundled",)])
def test_load_finds_the_bundled_checkpoint_by_default_and_by_name(captioner, arguments):
    assert Captioner.load(*arguments).model_id == captioner.model_id
