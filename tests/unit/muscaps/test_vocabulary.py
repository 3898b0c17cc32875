"""Words, ids and vectors."""

import numpy as np
import pytest

from muscaps.vocabulary import UNK, Vocabulary, detokenize, load_glove, tokenize, vectors_from_captions


def test_words_come_in_order_of_first_appearance_and_rare_ones_are_left_out():
    captions = [["slow", "piano"], ["fast", "piano"], ["slow", "drums"]]
    assert Vocabulary.from_captions(captions).words[4:] == ["slow", "piano"]


def test_tokens_are_lower_case_and_keep_inner_marks():
    assert tokenize("Mid-tempo R&B, don't stop! (8-bit)") == ["mid-tempo", "r&b", ",", "don't", "stop", "8-bit"]


def test_special_tokens_in_a_caption_stay_whole():
    assert tokenize("<sos> slow <unk>") == ["<sos>", "slow", "<unk>"]


def test_adjectives_of_peoples_and_places_get_a_capital_letter():
    assert detokenize("an irish tune for french horn".split()) == "An Irish tune for French horn."


def test_a_sentence_reads_like_one():
    assert detokenize(["slow", ",", "sad", "piano"]) == "Slow, sad piano."
    assert detokenize([]) == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("drums in a electronic track", "Drums in an electronic track."),
        ("an dark , a eerie piece for an ukulele", "A dark, an eerie piece for a ukulele."),
        ("a <unk> tune", "A <unk> tune."),
        ("bass with a", "Bass with a."),
    ],
)
def test_an_article_fits_the_sound_of_the_next_word_if_asked_for(words: str, sentence: str) -> None:
    assert detokenize(words.split(), articles=True) == sentence
    assert detokenize(words.split()).lower() == words.replace(" ,", ",") + "."


def test_a_grown_vocabulary_keeps_old_ids():
    old = Vocabulary.from_counts({"piano": 2, "slow": 2})
    grown = old.grown_by(Vocabulary.from_counts({"slow": 2, "harp": 2}))
    assert grown.words[: len(old)] == old.words
    assert grown.words[len(old) :] == ["harp"]


def test_a_word_twice_is_refused():
    with pytest.raises(ValueError, match="more than once: piano"):
        Vocabulary(["<pad>", "<unk>", "<sos>", "<eos>", "piano", "piano"])


def test_glove_rows_follow_the_published_rules(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("piano 1 2 3\nharp 4 5 6\n. . 7 8 9\n")
    vectors = load_glove(path, Vocabulary.from_counts({"harp": 2, "xylorimba": 2}), dim=3).numpy()
    np.testing.assert_allclose(vectors[:4], [[0.1 * i] * 3 for i in range(4)], rtol=1e-6)
    assert vectors[4].tolist() == [4, 5, 6]
    assert (vectors[5] == vectors[UNK]).all()


def test_a_glove_file_of_another_width_is_refused(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("piano 1 2\n")
    with pytest.raises(ValueError, match="line 1: expected a word and 3 numbers"):
        load_glove(path, Vocabulary.from_counts({"piano": 2}), dim=3)


def test_words_of_like_company_get_like_vectors():
    captions = [f"{a} {b} tune".split() for a in ("calm", "gentle") for b in ("harp", "flute")] * 3
    captions += [f"{a} {b} beat".split() for a in ("hard", "loud") for b in ("drums", "synth")] * 3
    words = Vocabulary.from_captions(captions)
    vectors = vectors_from_captions(captions, words, dim=8).numpy()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)

    def similarity(a, b):
        return float(vectors[words.id_of(a)] @ vectors[words.id_of(b)])

    assert similarity("calm", "gentle") > similarity("calm", "loud") + 0.3
    assert similarity("harp", "flute") > similarity("harp", "drums") + 0.3
