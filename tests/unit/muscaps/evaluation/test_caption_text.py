"""Captions as text: tokens without Java, special tokens."""

import shutil

import pytest

from muscaps.evaluation.caption_text import plain_words, strip_special_tokens
from muscaps.evaluation.java_scorers import one_line, ptb_tokenize

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no java on the PATH")


@needs_java
def test_plain_words_agree_with_the_treebank_tokenizer() -> None:
    captions = [
        "A calm, mid-tempo piano piece (live); it doesn't rush. Can't stop!",
        "R&B / soul with 808s, 120 bpm, 4/4 time & vocals: you've gotta love the singer's voice",
        'The "low-fi" sound... cannot be beaten -- gonna be a hit?',
        "<sos> warm <unk> strings [intro] at 1,000 Hz <eos>",
    ]
    assert [" ".join(plain_words(caption)) for caption in captions] == ptb_tokenize(captions, "java")


def test_special_tokens_leave_no_gaps() -> None:
    assert strip_special_tokens("<sos> warm <unk> strings <eos> <pad>") == "warm strings"
    assert one_line(" a\u2028 b\n") == "a b"
