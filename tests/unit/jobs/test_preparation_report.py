"""The lines that `muscaps dataset prepare` prints."""

from dataclasses import asdict
from pathlib import Path

from jobs.preparation_report import preparation_lines, size_warnings
from muscaps.training.dataset.cleaning import CleaningRules, clean
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.splits import assign_splits
from muscaps.training.dataset.writer import DatasetWriter


def lines(tmp_path: Path, *captions: str, rules: CleaningRules | None = None) -> str:
    rules = rules or CleaningRules()
    pairs = [Pair(track_id=f"t{n}", uri=f"t{n}.wav", captions=(text,)) for n, text in enumerate(captions)]
    kept, report = clean(pairs, rules)
    card = {"cleaning": asdict(report), "rules": asdict(rules)}
    writer = DatasetWriter(tmp_path / "dataset")
    return "\n".join(preparation_lines(writer.finish(assign_splits(kept), card=card), tmp_path / "dataset"))


def test_a_dropped_caption_is_shown_with_the_option_that_keeps_it(tmp_path: Path) -> None:
    found = lines(tmp_path, "a calm piano piece", "a slow piano piece", "word " * 30, "calm piano")
    assert "dropped 2 tracks: no caption left" in found
    assert "dropped 1 captions: more than 22 tokens (--split-sentences makes captions of their sentences; " in found
    assert "--max-tokens 30 keeps all)" in found
    assert "t2, 30 tokens: word word" in found
    assert "fewer than 3 tokens (--min-tokens 2 keeps all)\n    t3, 2 tokens: calm piano" in found


def test_split_sentences_is_not_suggested_where_it_is_used(tmp_path: Path) -> None:
    rules = CleaningRules(split_sentences=True)
    found = lines(tmp_path, "a calm piano piece", "a slow piano piece", "a piano piece", "word " * 30, rules=rules)
    assert "more than 22 tokens (--max-tokens 30 keeps all)" in found
    assert "--split-sentences" not in found


def test_fragments_are_shown_with_the_option_that_keeps_them(tmp_path: Path) -> None:
    found = lines(tmp_path, "a calm piano piece", "a slow piano piece", "a piano piece", "a piece of rock with")
    assert "dropped 1 captions: end in the middle of a phrase or describe nothing (--keep-fragments keeps all)" in found
    assert "    t3: a piece of rock with" in found


def test_words_that_become_unknown_are_counted_and_named(tmp_path: Path) -> None:
    captions = ["a calm piano piece", "a calm piano piece with xylophone", "a calm piano tune", "a calm piano"]
    found = lines(tmp_path, *captions)
    assert "words that become <unk>, because they occur fewer than 2 times in training: " in found
    assert "  for example " in found


def test_sizes_that_cannot_be_trusted_are_warned_of_with_numbers() -> None:
    text = "\n".join(size_warnings({"train": 34, "validation": 11, "test": 11}))
    assert "34 training pairs are too few to train from nothing (at least 1,000)" in text
    assert "11 validation pairs" in text
    assert "11 test pairs: the 95 % interval of a share is up to +-0.30" in text
    assert list(size_warnings({"train": 3000, "validation": 1000, "test": 1000})) == []
