"""The library API: batch invariance, alternatives, segments, attention, scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from muscaps import Captioner, DecodingOptions
from muscaps.checkpoint import load_checkpoint
from muscaps.config import TRAINED_DECODING
from muscaps.evaluation.language import repeated_words
from muscaps.vocabulary import EOS, SOS, UNK


def signal(seconds, seed):
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * 110 * 2 ** (rng.integers(0, 36) / 12) * time)
    return (0.5 * tone + 0.05 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def captioner(tiny_checkpoint):
    return Captioner.load(tiny_checkpoint)


@pytest.fixture(scope="module")
def tracks():
    return [signal(seconds, seed) for seed, seconds in enumerate((0.4, 3, 3.1, 6.5, 9, 14, 21.7, 30))]


@pytest.mark.parametrize("beam_size", [1, 5])
def test_captions_do_not_depend_on_the_batch(captioner, tracks, beam_size):
    options = DecodingOptions(beam_size=beam_size)
    together = captioner.caption(tracks, options)
    alone = [captioner.caption([track], options)[0] for track in tracks]
    pairs = [caption for start in range(0, 8, 3) for caption in captioner.caption(tracks[start : start + 3], options)]
    for one, two, three in zip(together, alone, pairs, strict=True):
        assert one.word_ids == two.word_ids == three.word_ids
        assert one.log_prob == pytest.approx(two.log_prob, abs=1e-4)
        assert one.log_prob == pytest.approx(three.log_prob, abs=1e-4)


def test_the_embedding_of_a_track_does_not_depend_on_the_batch(captioner, tracks):
    together = captioner.caption(tracks)
    assert together[3].embedding.shape == (captioner.embedding_dim,)
    np.testing.assert_allclose(together[3].embedding, captioner.caption([tracks[3]])[0].embedding, atol=1e-5)


def test_batches_too_large_for_the_memory_are_halved_from_then_on(tiny_checkpoint, tracks, monkeypatch, caplog):
    roomy, cramped = Captioner.load(tiny_checkpoint), Captioner.load(tiny_checkpoint)
    cramped.feature_batch = 16

    def with_room_for(most, work):
        def tried(items, *rest):
            if len(items) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return work(items, *rest)

        return tried

    monkeypatch.setattr(cramped, "_extract", with_room_for(3, cramped._extract))
    monkeypatch.setattr(cramped._decoder, "encode", with_room_for(2, cramped._decoder.encode))
    for one, two in zip(roomy.caption(tracks), cramped.caption(tracks), strict=True):
        assert one.word_ids == two.word_ids
    assert (cramped.feature_batch, cramped.search_batch) == (2, 2)
    assert len(caplog.records) == 3 + 2  # 16, 8, 4 and 8, 4: later batches begin small
    monkeypatch.setattr(cramped, "_extract", with_room_for(0, cramped._extract))
    with pytest.raises(torch.OutOfMemoryError):
        cramped.caption(tracks[:1])


def test_a_track_shorter_than_a_chunk_gets_one_padded_chunk(captioner):
    [features] = captioner.features([signal(0.4, 0)])
    assert features.shape == (1, captioner.feature_dim)


def test_an_incomplete_last_chunk_is_dropped(captioner):
    wave = signal(8, 1)
    whole, cut = captioner.features([wave, wave[:96_000]])
    np.testing.assert_allclose(whole, cut, atol=1e-5)


def test_int16_audio_gives_the_features_of_its_floats(captioner):
    pcm = (signal(6, 2) * 32768).round().clip(-32768, 32767).astype(np.int16)
    ints, floats = captioner.features([pcm, pcm.astype(np.float32) / 32768])
    np.testing.assert_allclose(ints, floats, atol=1e-5)


def test_alternatives_are_other_hypotheses_best_first(captioner, tracks):
    caption = captioner.caption(tracks[4:5], DecodingOptions(beam_size=5, num_alternatives=4))[0]
    assert 1 <= len(caption.alternatives) <= 4
    assert caption.text not in [other.text for other in caption.alternatives]


def test_log_prob_is_the_score_of_the_captions_own_words(captioner, tracks):
    features = captioner.features(tracks)
    for track, caption in zip(features, captioner.caption_features(features), strict=True):
        assert caption.words
        if len(caption.words) < 22:
            assert captioner.score([track], " ".join(caption.words))[0] == pytest.approx(caption.log_prob, abs=1e-4)


def test_attention_weighs_each_word_over_the_tracks_own_chunks(captioner, tracks):
    captions = captioner.caption(tracks[2:6], DecodingOptions(attention=True))
    for caption, chunks in zip(captions, (1, 2, 3, 4), strict=True):
        assert caption.attention.shape == (len(caption.words) + 1, chunks)
        np.testing.assert_allclose(caption.attention.sum(axis=1), 1, atol=1e-5)


def test_segments_cover_the_whole_track_in_order(captioner):
    [caption] = captioner.caption([signal(30, 3)], DecodingOptions(segment_seconds=9))
    assert [(s.start_s, s.end_s) for s in caption.segments] == [(0, 9), (9, 18), (18, 30)]
    [first] = captioner.caption([signal(30, 3)[: 9 * 16_000]])
    assert caption.segments[0].text == first.text


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(0, np.float32), "not empty"),
        (np.zeros((2, 48_000), np.float32), "one-dimensional"),
        (np.full(48_000, np.nan, np.float32), "NaN"),
    ],
)
def test_an_invalid_waveform_is_an_error(captioner, waveform, message):
    with pytest.raises(ValueError, match=message):
        captioner.features([waveform])


def test_a_query_without_words_is_an_error(captioner, tracks):
    with pytest.raises(ValueError, match="nothing to search for"):
        captioner.score(captioner.features(tracks[:1]), " ... ")


def test_encoding_a_caption_and_decoding_it_gives_its_words_back(captioner):
    ids = captioner.vocabulary.encode(["slow", "piano", "xylorimba"])
    assert ids[0] == SOS
    assert ids[-1] == EOS
    assert captioner.vocabulary.decode(ids) == ["slow", "piano", "<unk>"]


@pytest.fixture(scope="module")
def repeating(tiny_checkpoint):
    """A captioner whose captions repeat themselves and hold `<unk>`; its card has no `decoding` section."""
    checkpoint = load_checkpoint(tiny_checkpoint)
    checkpoint.model.output.bias.data[UNK] += 20
    return Captioner(checkpoint)


def words_said_twice(caption):
    return repeated_words(" ".join(caption.words))


@pytest.mark.parametrize("beam_size", [1, 5])
def test_options_rule_out_repeated_words_and_unk(repeating, tracks, beam_size):
    free = repeating.caption(tracks, DecodingOptions(beam_size=beam_size, allow_unknown=True))
    assert any(words_said_twice(caption) for caption in free)
    assert any("<unk>" in caption.words for caption in free)
    options = DecodingOptions(beam_size=beam_size, no_repeated_words=True, allow_unknown=False)
    for caption in repeating.caption(tracks, options):
        assert caption.words
        assert not words_said_twice(caption)
        assert "<unk>" not in caption.words


def test_unk_is_not_decoded_unless_allowed(repeating, tracks):
    assert all("<unk>" not in caption.words for caption in repeating.caption(tracks))


def test_the_checkpoints_card_decides_where_options_do_not(repeating, tracks):
    repeating.card = {**repeating.card, "decoding": TRAINED_DECODING}
    by_card = repeating.caption(tracks)
    asked = repeating.caption(tracks, DecodingOptions(no_repeated_words=True, allow_unknown=False))
    assert [caption.text for caption in by_card] == [caption.text for caption in asked]
    unconstrained = repeating.caption(tracks, DecodingOptions(no_repeated_words=False, allow_unknown=True))
    assert [caption.text for caption in unconstrained] != [caption.text for caption in asked]


def test_segments_follow_the_same_options(repeating):
    options = DecodingOptions(segment_seconds=9, no_repeated_words=True, allow_unknown=False)
    [caption] = repeating.caption([signal(30, 3)], options)
    assert not any(repeated_words(segment.text) for segment in caption.segments)


@pytest.fixture(scope="module")
def stopping(tiny_checkpoint):
    """A captioner that prefers short captions."""
    checkpoint = load_checkpoint(tiny_checkpoint)
    checkpoint.model.output.bias.data[EOS] += 8
    return Captioner(checkpoint)


@pytest.mark.parametrize("beam_size", [1, 5])
def test_a_reward_per_word_makes_captions_longer_and_leaves_log_prob_alone(stopping, tracks, beam_size):
    features = stopping.features(tracks)
    options = DecodingOptions(beam_size=beam_size, no_repeated_words=True)
    plain, rewarded = (
        stopping.caption_features(features, replace(options, word_reward=reward)) for reward in (0.0, 10.0)
    )
    mean_words = [np.mean([len(caption.words) for caption in captions]) for captions in (plain, rewarded)]
    assert mean_words[1] > mean_words[0] + 1
    for track, caption in zip(features, rewarded, strict=True):
        if len(caption.words) < 22:
            assert stopping.score([track], " ".join(caption.words))[0] == pytest.approx(caption.log_prob, abs=1e-3)


def test_the_card_gives_the_reward_where_options_do_not():
    card = {"word_reward": 1}
    assert DecodingOptions().with_defaults(card).word_reward == 1.0
    assert DecodingOptions(word_reward=0).with_defaults(card).word_reward == 0
    assert DecodingOptions().with_defaults({}).word_reward == 0.0
    with pytest.raises(ValueError, match="word_reward must lie in 0 to 10"):
        DecodingOptions(word_reward=-1)
