"""Caption metrics against other implementations.

METEOR's JVM starts once for the module.
"""

import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sacrebleu

from muscaps.evaluation import caption_metrics
from muscaps.evaluation.caption_metrics import METRICS, CaptionScorer, cider, score_captions
from muscaps.evaluation.java_scorers import ptb_tokenize

DATA = Path(__file__).parents[3] / "data" / "metrics"


CAPTIONS = json.loads((DATA / "captions.json").read_text())
MEASURED = json.loads((DATA / "scores.json").read_text())
"""Scores of CAPTIONS by other implementations; tests/data/metrics/README.md names them."""

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no java on the PATH")


@pytest.fixture(scope="module")
def scorer() -> Iterator[CaptionScorer]:
    with CaptionScorer() as scorer:
        yield scorer


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_metrics, "find_java", lambda: None)


def music_captions(count: int, seed: int) -> list[str]:
    pick = random.Random(seed)
    moods, kinds = ["calm", "driving", "dark", "warm"], ["piano", "guitar", "strings", "drums", "synth"]
    return [
        f"{pick.choice(moods)} {pick.choice(kinds)} and {pick.choice(kinds)} over {pick.choice(moods)} "
        + "beats " * pick.randrange(4)
        + pick.choice(["builds slowly", "fades", "never rests for long"])
        for _ in range(count)
    ]


@needs_java
@pytest.mark.parametrize("metric", sorted(MEASURED["corpus"]))
def test_corpus_scores_equal_those_of_other_implementations(scorer: CaptionScorer, metric: str) -> None:
    scores = scorer.score(CAPTIONS["predictions"], CAPTIONS["references"], tokenizer="whitespace")
    assert scores.corpus[metric] == pytest.approx(MEASURED["corpus"][metric], abs=1e-6)


@needs_java
@pytest.mark.parametrize("metric", sorted(MEASURED["per_caption"]))
def test_scores_per_caption_equal_those_of_other_implementations(scorer: CaptionScorer, metric: str) -> None:
    scores = scorer.score(CAPTIONS["predictions"], CAPTIONS["references"], tokenizer="whitespace")
    assert scores.per_caption[metric] == pytest.approx(MEASURED["per_caption"][metric], abs=1e-6)


def test_sacrebleu_agrees_on_bleu(no_java: None) -> None:
    predictions = music_captions(300, seed=1)
    references = [music_captions(2, seed=seed) for seed in range(1000, 1300)]
    scores = score_captions(predictions, references, tokenizer="whitespace")
    for order in range(1, 5):
        judge = sacrebleu.BLEU(max_ngram_order=order, tokenize="none", smooth_method="none", lowercase=False)
        theirs = judge.corpus_score(predictions, [list(stream) for stream in zip(*references, strict=True)])
        assert scores.corpus[f"bleu_{order}"] == pytest.approx(theirs.score / 100, abs=1e-9)


@needs_java
def test_line_separators_shift_no_caption(scorer: CaptionScorer) -> None:
    plain = ["calm piano over soft strings", "dark drums", "bright guitar"]
    broken = ["calm piano\u2028over soft\x85strings", "dark\r\n\n drums", "\x0bbright\tguitar\x1c"]
    assert ptb_tokenize(broken, "java") == ptb_tokenize(plain, "java") == plain
    references = [["soft strings"], ["dark drums"], ["bright guitar"]]
    assert scorer.score(broken, references) == scorer.score(plain, references)


@needs_java
def test_captions_of_nothing_but_punctuation_keep_their_place(scorer: CaptionScorer) -> None:
    assert ptb_tokenize(["", "...", "a b", "!"], "java") == ["", "", "a b", ""]
    scores = scorer.score(["", "calm piano", "..."], [["calm piano"], ["calm piano"], ["a ||| b"]])
    assert scores.per_caption["meteor"] == pytest.approx([0, 1, 0])
    assert scores.per_caption["rouge_l"] == pytest.approx([0, 1, 0])


@needs_java
def test_unencodable_text_is_scored_not_refused(scorer: CaptionScorer) -> None:
    scores = scorer.score(["calm \ud83c piano \U0001f3b8", "b"], [["calm piano"], ["b"]])
    assert scores.per_caption["rouge_l"][1] == 1


@needs_java
def test_default_convention_strips_special_tokens_and_published_keeps_them(scorer: CaptionScorer) -> None:
    predictions = ["<sos> calm <unk> piano <eos>", "<sos> fast rock <eos>"]
    references = [["<sos> calm guitar <eos>"], ["<sos> <unk> slow jazz <eos>"]]
    bare = scorer.score(["calm piano", "fast rock"], [["calm guitar"], ["slow jazz"]])
    assert scorer.score(predictions, references) == bare
    published = scorer.score(predictions, references, convention="published")
    bracketed = scorer.score(["calm piano", "fast rock"], [["calm guitar"], ["slow jazz"]], convention="published")
    assert published.convention == "published"
    assert published.corpus["meteor"] > bare.corpus["meteor"] + 0.1
    assert published.per_caption["bleu_1"][1] == pytest.approx(2 / 4 * math.exp(1 - 5 / 4))
    assert published.notes == ()
    assert "both were added" in bracketed.notes[0]
    assert bracketed.per_caption["bleu_1"][1] == pytest.approx(2 / 4)


def test_without_java_meteor_and_spice_are_missing_and_the_rest_is_given(no_java: None) -> None:
    scores = score_captions(["calm piano, really", "rock"], [["Calm piano."], ["Loud rock!"]])
    assert set(scores.missing) == {"meteor", "spice", "spider"}
    assert all(scores.corpus[name] is None and scores.per_caption[name] is None for name in scores.missing)
    assert all(scores.corpus[name] is not None for name in set(METRICS) - set(scores.missing))
    assert "Java" in scores.missing["meteor"]
    assert scores.tokenizer == "plain"
    assert "Java" in scores.notes[0]


@pytest.mark.parametrize(
    ("predictions", "references", "complaint"),
    [
        ([], [], "no captions"),
        (["a"], [], "1 predictions"),
        (["a"], [[]], r"references\[0\]"),
        (["a", "b"], [["a"], "b"], r"references\[1\]"),
        ("a", ["a"], "not one string"),
    ],
)
def test_unusable_captions_are_refused(predictions: list, references: list, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        score_captions(predictions, references)
    with pytest.raises(ValueError, match=complaint):
        cider(predictions, references)


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="convention"):
        score_captions(["a"], [["a"]], convention="coco")
    with pytest.raises(ValueError, match="tokenizer"):
        score_captions(["a"], [["a"]], tokenizer="moses")


def test_light_cider_equals_the_corpus_metric_on_tokenized_text(no_java: None) -> None:
    predictions, references = music_captions(50, seed=2), [[text] for text in music_captions(50, seed=3)]
    assert cider(predictions, references) == score_captions(predictions, references).corpus["cider"]
    assert cider([text for [text] in references], references) == pytest.approx(10.0)
