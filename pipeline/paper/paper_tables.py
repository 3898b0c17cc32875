"""Tables I to IV of the paper, the decoding statistics and the learning rates, from an experiment's results.

Conventions: scores are times 100, except ranks and statistics, and means over seeds. The paper's own numbers are
shown with ours under the published convention, which is likely theirs; the default convention has its own tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from muscaps.evaluation.caption_text import ConventionName, plain_words
from muscaps.evaluation.decoding_statistics import count_immediate_repetitions
from pipeline.paper.plan import SYSTEMS, SubsetName
from pipeline.paper.results import GREEDY, Results
from pipeline.paper.tables import Row, Table

LABELS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE", "SPIDEr")
FACT_LABELS = ("facts P", "facts R")
SUBSET_TITLES: Mapping[SubsetName, str] = {"test": "", "real": ", real tracks"}


RETRIEVAL_LABELS = ("R@1", "R@5", "R@10", "median rank")


# What the paper prints: Table I (greedy), Table II (greedy and beam), Table III.
PAPER_TABLE_1 = {
    "dcase": (13.8, 5.8, 3.6, 2.0, 4.3, 13.7, 19.6, 5.6, 12.6),
    "musicnn": (34.3, 15.0, 8.5, 5.4, 29.3, 39.9, 33.0, 24.2, 28.6),
    "hcnn": (37.3, 16.4, 9.3, 5.9, 29.6, 40.6, 36.9, 23.5, 30.2),
}


PAPER_TABLE_2 = {
    ("scratch", False): (35.3, 14.4, 7.6, 4.6, 29.3, 39.3, 29.2, 21.8, 25.5),
    ("early", False): (37.8, 16.5, 9.2, 5.8, 29.4, 40.4, 37.6, 23.3, 30.4),
    ("early", True): (33.4, 15.0, 8.7, 5.7, 29.3, 40.8, 38.8, 23.9, 31.4),
    ("late", False): (35.8, 15.8, 9.0, 5.8, 29.6, 41.0, 36.8, 24.3, 30.6),
    ("late", True): (32.0, 14.4, 8.5, 5.6, 29.5, 41.2, 35.9, 24.7, 30.3),
    ("attention", False): (36.7, 16.2, 9.2, 5.8, 29.7, 41.0, 37.1, 23.2, 30.2),
    ("attention", True): (33.1, 14.7, 8.6, 5.6, 29.5, 41.1, 36.7, 23.5, 30.1),
}


PAPER_TABLE_3 = {
    "dcase": (1.2, 5.2, 10.3, 41.8),
    "scratch": (1.7, 6.0, 9.0, 107.2),
    "early": (2.3, 12.0, 21.3, 55.2),
    "attention": (2.7, 15.0, 24.3, 45.7),
    "late": (5.7, 18.0, 27.3, 37.8),
}


ORDER_1 = ("dcase", "musicnn", "ours", "hcnn")
ORDER_2 = ("scratch", "ours", "early", "late", "attention")


def ablation_rows(results: Results) -> list[str]:
    """Return the rows of Table II that are done: with the pre-trained counterpart of the system from scratch."""
    counterpart = results.config.scratch if results.config.scratch != results.config.ablation else None
    return [row for row in ORDER_2 if results.has(row) and (row != "ours" or row == counterpart)]


def build_tables(results: Results, convention: ConventionName) -> list[Table]:
    """Build Tables I and II under one convention; the paper's numbers are shown with the published one only."""
    names_1: dict[str, str] = {row: SYSTEMS[row].label for row in ORDER_1 if results.has(row)}  # type: ignore[index]
    names_2 = {row: results.label(row) for row in ablation_rows(results)}
    paper_1 = {(row, GREEDY): scores for row, scores in PAPER_TABLE_1.items()}
    paper_2 = {(row, results.paper_beam(row) if beam else GREEDY): s for (row, beam), s in PAPER_TABLE_2.items()}
    return [
        _captions_table(results, convention, "I", names_1, paper_1),
        _captions_table(results, convention, "II", names_2, paper_2),
    ]


def _captions_table(
    results: Results,
    convention: ConventionName,
    number: str,
    names: Mapping[str, str],
    paper: Mapping[tuple[str, int], Sequence[float]],
) -> Table:
    rows = [
        Row(
            label=f"{label}, {beam_label(size)}",
            measures=results.captions(row, size, convention),
            paper=(*paper[row, size], None, None) if convention == "published" and (row, size) in paper else None,
        )
        for row, label in names.items()
        for size in results.beam_sizes(row)
    ]
    return Table(
        name=f"table_{len(number)}_{convention}{_suffix(results)}",
        title=f"Table {number} ({convention} convention{SUBSET_TITLES[results.subset]})",
        columns=(*LABELS, *FACT_LABELS),
        rows=tuple(rows),
    )


def beam_label(beam_size: int) -> str:
    """Name a search by its beam size."""
    return "greedy" if beam_size == GREEDY else f"beam {beam_size}"


def _suffix(results: Results) -> str:
    return "" if results.subset == "test" else f"_{results.subset}"


def build_retrieval_table(results: Results) -> Table:
    """Build Table III."""
    ablation = ablation_rows(results)
    order = ("dcase", *(row for row in (*ORDER_2[:3], "attention", "late") if row in ablation))
    rows = [
        Row(label=results.label(row), measures=results.retrieval(row), paper=PAPER_TABLE_3.get(row))
        for row in order
        if results.has(row)
    ]
    return Table(
        name=f"table_3{_suffix(results)}",
        title=f"Table III: search by log P(query | audio){SUBSET_TITLES[results.subset]}; the paper ranks 1,207 tracks",
        columns=RETRIEVAL_LABELS,
        rows=tuple(rows),
        lower_is_better=("median rank",),
    )


def build_decoding_table(results: Results) -> Table:
    """Build the statistics of section IV-D4 by beam size, of captions under the published convention."""
    names = (
        *("unk_per_caption", "repetitions_per_caption", "repeated_ngrams_per_caption", "mean_words"),
        *("vocabulary_used", "distinct_captions", "novel_captions"),
    )
    rows = [
        Row(
            label=f"{results.label(row)}, {beam_label(size)}",
            measures=tuple(results.statistic(row, size, name) for name in names),
        )
        for row in ("dcase", *ablation_rows(results))
        if results.has(row)
        for size in results.beam_sizes(row)
    ]
    columns = ("`<unk>` each", "repetitions each", "repeated n-grams each", "words", "vocabulary", "distinct", "novel")
    return Table(
        name=f"decoding{_suffix(results)}",
        title=f"Decoding statistics per caption (section IV-D4){SUBSET_TITLES[results.subset]}",
        columns=columns,
        rows=tuple(rows),
        lower_is_better=("`<unk>` each", "repetitions each", "repeated n-grams each"),
        without_best=("words", "vocabulary", "distinct", "novel"),
        digits=2,
    )


def example_captions(results: Results, count: int = 4) -> list[dict[str, str]]:
    """Choose Table IV's tracks: first those where greedy search repeats words and beam search does not.

    The captions are those of the published convention, without `<sos>` and `<eos>`.
    """
    if not results.has("early"):
        return []
    early = next(iter(results.cells[results.system("early")].values()))
    size = results.paper_beam("early")
    if str(size) not in early["predictions"]:
        size = results.beam_sizes("early")[-1]
    greedy, beam = (_shown(early, str(number)) for number in (GREEDY, size))
    others = {}
    if results.has("dcase"):
        others["DCASE baseline"] = _shown(next(iter(results.cells["dcase"].values())), str(GREEDY))

    def repeats(text: str) -> bool:
        return count_immediate_repetitions(plain_words(text)) > 0

    repeating = [i for i in range(len(greedy)) if repeats(greedy[i]) and not repeats(beam[i])]
    spread = [int(i) for i in np.linspace(0, len(greedy) - 1, min(count, len(greedy)))]
    chosen = list(dict.fromkeys([*repeating, *spread]))[:count]
    return [
        {
            "track": early["track_ids"][i],
            "ground truth": early["references"]["default"][i][0],
            **{name: captions[i] for name, captions in others.items()},
            "greedy": greedy[i],
            beam_label(size): beam[i],
        }
        for i in chosen
    ]


def _shown(cell: Mapping[str, Any], beam_size: str) -> list[str]:
    return [text.removeprefix("<sos> ").removesuffix(" <eos>") for text in cell["predictions"][beam_size]["published"]]
