"""From ranked hypotheses to a caption."""

import numpy as np

from muscaps.caption import Caption, to_caption
from muscaps.decoding import Hypothesis
from muscaps.vocabulary import Vocabulary

WORDS = Vocabulary(["<pad>", "<unk>", "<sos>", "<eos>", ",", "piano"])
PAD, COMMA, PIANO = 0, 4, 5


def hypothesis(*word_ids: int, log_prob: float) -> Hypothesis:
    return Hypothesis(word_ids=word_ids, log_prob=log_prob, finished=True)


def test_a_hypothesis_without_text_is_skipped():
    without_text = [hypothesis(log_prob=-1.0), hypothesis(COMMA, COMMA, log_prob=-2.0), hypothesis(PAD, log_prob=-2.5)]
    with_text = [hypothesis(PIANO, log_prob=-3.0), hypothesis(PIANO, PIANO, log_prob=-4.0)]
    caption = to_caption([without_text + with_text], WORDS, num_alternatives=4)
    assert (caption.text, caption.words, caption.log_prob) == ("Piano.", ("piano",), -3.0)
    assert [other.text for other in caption.alternatives] == ["Piano piano."]


def test_the_best_hypothesis_is_used_if_none_has_text():
    caption = to_caption([[hypothesis(COMMA, log_prob=-1.0), hypothesis(log_prob=-2.0)]], WORDS, num_alternatives=1)
    assert (caption.text, caption.word_ids, caption.log_prob) == ("", (COMMA,), -1.0)
    assert [other.text for other in caption.alternatives] == [""]


def test_the_repr_has_no_arrays():
    caption = Caption(text="Piano.", words=("piano",), word_ids=(PIANO,), log_prob=-1.0, embedding=np.ones(192))
    assert len(repr(caption)) < 200
