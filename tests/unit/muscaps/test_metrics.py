"""Caption metrics against published scores and a second library; retrieval and statistics by hand counts.

METEOR's JVM starts once for the module.
"""

import json
import math
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from muscaps.evaluation import caption_metrics, spice
from muscaps.evaluation.caption_metrics import METRICS, CaptionScorer, cider, score_captions
from muscaps.evaluation.caption_text import plain_words, strip_special_tokens
from muscaps.evaluation.decoding_statistics import count_immediate_repetitions, decoding_statistics
from muscaps.evaluation.java_scorers import JavaToolError, Meteor, one_line, ptb_tokenize
from muscaps.evaluation.retrieval import retrieval_scores
from muscaps.evaluation.spice import build_script_engine_shim, spice_obstacle

DATA = Path(__file__).parents[2] / "data" / "metrics"
NLG_EVAL = json.loads((DATA / "nlg_eval.json").read_text())
AAC_METRICS = json.loads((DATA / "aac_metrics_readme.json").read_text())
OUR_NAME = {"cider_d": "cider"}

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
@pytest.mark.parametrize("case", NLG_EVAL["cases"], ids=lambda case: case["name"])
def test_nlg_eval_scores_are_reproduced(scorer: CaptionScorer, case: dict) -> None:
    scores = scorer.score(case["predictions"], case["references"], tokenizer="whitespace")
    for name, published in case["published"].items():
        if name != "spice":
            assert scores.corpus[OUR_NAME.get(name, name)] == pytest.approx(published, abs=2e-6), name
    for name, expected in case["reproduced"].items():
        assert scores.corpus[OUR_NAME.get(name, name)] == pytest.approx(expected, abs=1e-12), name
    for name, expected in case.get("reproduced_per_caption", {}).items():
        assert scores.per_caption[OUR_NAME.get(name, name)] == pytest.approx(expected, abs=1e-12), name


@needs_java
def test_aac_metrics_scores_are_reproduced(scorer: CaptionScorer) -> None:
    scores = scorer.score(AAC_METRICS["predictions"], AAC_METRICS["references"])
    published = AAC_METRICS["published"]
    assert scores.corpus["bleu_1"] == pytest.approx(published["bleu_1"], abs=1e-4)
    assert scores.corpus["cider"] == pytest.approx(published["cider_d"], abs=1e-4)
    assert scores.per_caption["cider"] == pytest.approx(published["cider_d_per_caption"], abs=1e-4)
    for name, expected in AAC_METRICS["reproduced_per_caption"].items():
        assert scores.per_caption[OUR_NAME.get(name, name)] == pytest.approx(expected, abs=1e-12), name
    assert scores.tokenizer == "ptb"


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


def test_without_corenlp_spice_says_how_to_get_it(tmp_path: Path) -> None:
    assert "stanford-corenlp-full-2015-12-09.zip" in spice_obstacle(None, "java")
    assert "stanford-corenlp-3.6.0-models.jar" in spice_obstacle(tmp_path, "java")
    with pytest.raises(ValueError, match=r"holds no stanford-corenlp-3\.6\.0\.jar"):
        spice.spice(["a"], [["a"]], corenlp=tmp_path, java="java")


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK")
def test_the_script_engine_shim_answers_to_the_name_spice_asks_for(tmp_path: Path) -> None:
    shim = build_script_engine_shim(tmp_path / "shim")
    (tmp_path / "Ask.java").write_text(
        "import javax.script.*; public class Ask { public static void main(String[] a) throws Exception {"
        'ScriptEngine e = new ScriptEngineManager().getEngineByName("JavaScript");'
        'e.put("jsonString", "[1]"); e.eval("result = JSON.stringify(JSON.parse(jsonString), null, 2)");'
        'System.out.print((String) e.get("result")); } }'
    )
    subprocess.run(["javac", "-d", str(tmp_path), str(tmp_path / "Ask.java")], check=True)
    answer = subprocess.run(["java", "-cp", f"{tmp_path}:{shim}", "Ask"], check=True, capture_output=True, text=True)
    assert answer.stdout == "[1]"


def test_spice_reads_its_scores_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # CoreNLP's models cannot be had here; a stand-in for `java` answers in SPICE's output format.
    for name in spice.SPICE_JARS:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "nashorn-core-15.4.jar").write_bytes(b"")
    real_which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "javac" else real_which(name))
    java = tmp_path / "java"
    java.write_text(
        "#!/usr/bin/env python3\nimport json, sys\n"
        "at = sys.argv.index('edu.anu.spice.SpiceScorer')\n"
        "rows = json.load(open(sys.argv[at + 1]))\n"
        "good = {r['image_id']: float(r['test'] in r['refs']) for r in rows}\n"
        "out = [{'image_id': i, 'scores': {'All': {'f': f}}} for i, f in good.items()]\n"
        "json.dump(out[::-1], open(sys.argv[at + 3], 'w'))\n"
    )
    java.chmod(0o755)
    predictions, references = ["a", "b", "c", "d"], [["a"], ["x"], ["y", "c"], ["z"]]
    mean, scores = spice.spice(predictions, references, corenlp=tmp_path, java=str(java))
    assert (mean, scores) == (0.5, [1, 0, 1, 0])


@needs_java
def test_a_dead_meteor_is_an_error_not_a_hang() -> None:
    with Meteor("java") as meteor:
        meteor._process.kill()
        with pytest.raises(JavaToolError, match="METEOR stopped"):
            meteor.score(["a"] * 20_000, [["a"]] * 20_000)


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


@needs_java
def test_plain_words_agree_with_the_treebank_tokenizer() -> None:
    captions = [
        "A calm, mid-tempo piano piece (live); it doesn't rush. Can't stop!",
        "R&B / soul with 808s, 120 bpm, 4/4 time & vocals: you've gotta hear the singer's voice",
        'The "low-fi" sound... cannot be beaten -- gonna be a hit?',
        "<sos> warm <unk> strings [intro] at 1,000 Hz <eos>",
    ]
    assert [" ".join(plain_words(caption)) for caption in captions] == ptb_tokenize(captions, "java")


def test_special_tokens_leave_no_gaps() -> None:
    assert strip_special_tokens("<sos> warm <unk> strings <eos> <pad>") == "warm strings"
    assert one_line(" a\u2028 b\n") == "a b"


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


def test_a_model_that_cannot_tell_tracks_apart_gets_chance() -> None:
    scores = retrieval_scores(np.full((20, 100), -7.0), np.arange(20))
    assert scores.median_rank == 50.5
    assert (scores.recall_at_1, scores.recall_at_5, scores.recall_at_10) == pytest.approx((0.01, 0.05, 0.1))


def test_retrieval_ranks_match_sorting_where_nothing_ties() -> None:
    log_probs = np.random.default_rng(0).normal(-30, 5, size=(40, 60))
    targets = np.arange(40)
    ranks = [list(np.argsort(-row)).index(target) + 1 for row, target in zip(log_probs, targets, strict=True)]
    scores = retrieval_scores(log_probs, targets, queries_with_unk=3)
    assert scores.median_rank == np.median(ranks)
    for k, recall in ((1, scores.recall_at_1), (5, scores.recall_at_5), (10, scores.recall_at_10)):
        assert recall == pytest.approx(np.mean(np.array(ranks) <= k))
    assert (scores.num_queries, scores.num_tracks, scores.queries_with_unk) == (40, 60, 3)


def test_retrieval_ties_count_by_chance_and_infinity_is_a_score() -> None:
    scores = retrieval_scores([[-1.0, -1.0, -9.0], [-np.inf, -2.0, -np.inf]], [0, 0])
    assert scores.recall_at_1 == pytest.approx((0.5 + 0) / 2)
    assert scores.recall_at_5 == 1
    assert scores.median_rank == pytest.approx((1.5 + 2.5) / 2)


@pytest.mark.parametrize(
    ("log_probs", "targets", "complaint"),
    [
        ([[0.0, math.nan]], [0], "not a number"),
        ([[0.0, 1.0]], [2], "0 to 1"),
        ([[0.0, 1.0]], [0.5], "whole numbers"),
        ([0.0, 1.0], [0], "queries, tracks"),
        ([[0.0, 1.0]], [0, 1], "queries, tracks"),
    ],
)
def test_unusable_retrieval_scores_are_refused(log_probs: list, targets: list, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        retrieval_scores(log_probs, targets)
