"""Tables I to IV of the paper and the decoding statistics, from an experiment's results.

Conventions: scores are times 100, except ranks and statistics, and means over seeds. The paper's own numbers are
shown with ours under the published convention, which is likely theirs; the default convention has its own tables.
"""

import numpy as np

from muscaps.evaluation.caption_text import ConventionName, plain_words
from muscaps.evaluation.decoding_statistics import count_immediate_repetitions
from pipeline.paper.results import Results
from pipeline.paper.tables import Row, Table

LABELS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE", "SPIDEr")


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


TABLE_2_ROWS = ("scratch", "early", "late", "attention")


TABLE_2_LABELS = {
    "scratch": "early, no pre-training",
    "early": "early",
    "late": "late",
    "attention": "attention",
}


def build_tables(results: Results, convention: ConventionName) -> list[Table]:
    """Build Tables I and II under one convention; the paper's numbers are shown with the published one only."""
    with_paper = convention == "published"
    rows_1 = [
        Row(
            label=f"{label}, {'beam ' + str(results.beam_size(system)) if beam else 'greedy'}",
            measures=results.captions(system, beam, convention),
            paper=PAPER_TABLE_1[system] if with_paper and not beam else None,
        )
        for system, label in (
            ("dcase", "DCASE baseline"),
            ("musicnn", "MusCaps-Musicnn"),
            ("hcnn", "MusCaps-HCNN"),
        )
        if results.has(system)
        for beam in (False, True)
    ]
    rows_2 = [
        Row(
            label=f"{TABLE_2_LABELS[row]}, {'beam ' + str(results.beam_size(row)) if beam else 'greedy'}",
            measures=results.captions(row, beam, convention),
            paper=PAPER_TABLE_2.get((row, beam)) if with_paper else None,
        )
        for row in TABLE_2_ROWS
        if results.has(row)
        for beam in (False, True)
    ]
    kind = f"{convention} convention"
    return [
        Table(name=f"table_1_{convention}", title=f"Table I ({kind})", columns=LABELS, rows=tuple(rows_1)),
        Table(name=f"table_2_{convention}", title=f"Table II ({kind})", columns=LABELS, rows=tuple(rows_2)),
    ]


def build_retrieval_table(results: Results) -> Table:
    """Build Table III."""
    labels = {"dcase": "DCASE baseline", "scratch": "w/o pre-training", "early": "early", "attention": "attention"}
    rows = [
        Row(label=labels.get(row, row), measures=results.retrieval(row), paper=PAPER_TABLE_3[row])
        for row in PAPER_TABLE_3
        if results.has(row)
    ]
    return Table(
        name="table_3",
        title="Table III: search by log P(query | audio); the paper ranks 1,207 tracks",
        columns=RETRIEVAL_LABELS,
        rows=tuple(rows),
        lower_is_better=("median rank",),
    )


def build_decoding_table(results: Results) -> Table:
    """Build the statistics of section IV-D4, greedy and beam."""
    names = (
        *("unk_per_caption", "repetitions_per_caption", "repeated_ngrams_per_caption", "mean_words"),
        *("vocabulary_used", "distinct_captions", "novel_captions"),
    )
    rows = [
        Row(
            label=f"{label}, {'beam ' + str(results.beam_size(row)) if beam else 'greedy'}",
            measures=tuple(results.statistic(row, beam, name) for name in names),
        )
        for row, label in {"dcase": "DCASE baseline", **TABLE_2_LABELS}.items()
        if results.has(row)
        for beam in (False, True)
    ]
    columns = ("`<unk>` each", "repetitions each", "repeated n-grams each", "words", "vocabulary", "distinct", "novel")
    return Table(
        name="decoding",
        title="Decoding statistics per caption (section IV-D4)",
        columns=columns,
        rows=tuple(rows),
        lower_is_better=("`<unk>` each", "repetitions each", "repeated n-grams each"),
        without_best=("words", "vocabulary", "distinct", "novel"),
        digits=2,
    )


def example_captions(results: Results, count: int = 4) -> list[dict[str, str]]:
    """Choose Table IV's tracks: first those where greedy search repeats words and beam search does not."""
    if not results.has("early"):
        return []
    early = next(iter(results.cells[results.system("early")].values()))
    greedy, beam = (early["predictions"][str(size)]["default"] for size in (1, results.beam_size("early")))
    others = {}
    if results.has("dcase"):
        others["DCASE baseline"] = next(iter(results.cells["dcase"].values()))["predictions"]["1"]["default"]

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
            f"beam {results.beam_size('early')}": beam[i],
        }
        for i in chosen
    ]
