"""Tables I to IV, Fig. 4 and what they say, from an experiment's cells: Markdown, CSV and PNG (paper section IV-D).

Conventions: scores are times 100, but for ranks and statistics, and means over seeds; `±` is half a 95%
interval by Student's t. Bold marks scores within two standard deviations of the best row's, by that row's
spread over seeds, as in the paper. The paper's own numbers stand beside ours under the published convention,
which is likely theirs; the default convention has tables of its own.
"""

import csv
import io
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from muscaps.evaluation.metrics import METRICS, ConventionName
from muscaps.training.dataset import PreparedDataset

if TYPE_CHECKING:
    from pipeline.paper.experiment import ExperimentConfig

REPORT = "experiment.md"
LABELS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "SPICE", "SPIDEr")
RETRIEVAL = ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank")
RETRIEVAL_LABELS = ("R@1", "R@5", "R@10", "median rank")
# Quantiles of Student's t for a two-sided 95% interval, by degrees of freedom from 1.
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)

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


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A score over seeds."""

    values: tuple[float, ...]
    """One a seed."""

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; 0 for one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    @property
    def half_interval(self) -> float | None:
        """Half of the 95% interval of the mean; None for one seed."""
        count = len(self.values)
        if count < 2:
            return None
        quantile = _T_95[count - 2] if count - 2 < len(_T_95) else 1.96
        return quantile * self.deviation / math.sqrt(count)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table."""

    label: str
    """The system."""
    measures: tuple[Measure | None, ...]
    """A score per column; None where it could not be computed."""
    paper: tuple[float, ...] | None = None
    """What the paper prints."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of scores."""

    name: str
    """File name without suffix."""
    title: str
    """What it shows."""
    columns: tuple[str, ...]
    """Column heads."""
    rows: tuple[Row, ...]
    """Its rows."""
    lower_is_better: tuple[str, ...] = ()
    """Columns where the smallest score is best."""
    without_best: tuple[str, ...] = ()
    """Columns that are no score: nothing is bold there."""
    digits: int = 1
    """Decimals shown."""

    def bold(self, column: int) -> list[bool]:
        """Tell which rows lie within two standard deviations of the best, by the best row's deviation."""
        measures = [row.measures[column] for row in self.rows]
        present = [measure for measure in measures if measure is not None]
        if not present or self.columns[column] in self.without_best:
            return [False] * len(measures)
        sign = -1 if self.columns[column] in self.lower_is_better else 1
        best = max(present, key=lambda measure: sign * measure.mean)
        floor = sign * best.mean - 2 * best.deviation
        return [measure is not None and sign * measure.mean >= floor - 1e-12 for measure in measures]

    def markdown(self) -> str:
        """Write the table, each row followed by the paper's where it has one."""
        bolds = [self.bold(column) for column in range(len(self.columns))]
        lines = ["| | " + " | ".join(self.columns) + " |", "|---|" + "---:|" * len(self.columns)]
        for index, row in enumerate(self.rows):
            shown = [self._show(m, bolds[column][index]) for column, m in enumerate(row.measures)]
            lines.append(f"| {row.label} | " + " | ".join(shown) + " |")
            if row.paper is not None:
                lines.append("| *the paper* | " + " | ".join(f"*{value:.1f}*" for value in row.paper) + " |")
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"

    def _show(self, measure: Measure | None, bold: bool) -> str:
        if measure is None:
            return "–"
        text = f"{measure.mean:.{self.digits}f}"
        text = f"**{text}**" if bold else text
        half = measure.half_interval
        return text if half is None else f"{text} ± {half:.{self.digits}f}"

    def csv(self) -> str:
        """Write one line a row and column: mean, half interval, deviation, seeds, the paper's number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", "column", "mean", "half_interval_95", "deviation", "seeds", "bold", "paper"])
        for column, name in enumerate(self.columns):
            for row, bold in zip(self.rows, self.bold(column), strict=True):
                measure, paper = row.measures[column], "" if row.paper is None else row.paper[column]
                if measure is None:
                    writer.writerow([row.label, name, "", "", "", 0, "", paper])
                    continue
                half = "" if measure.half_interval is None else f"{measure.half_interval:.4f}"
                numbers = [f"{measure.mean:.4f}", half, f"{measure.deviation:.4f}", len(measure.values)]
                writer.writerow([row.label, name, *numbers, int(bold), paper])
        return text.getvalue()


class Results:
    """An experiment's results, by row of the paper's tables: `early` is the ablation's pre-trained early fusion."""

    def __init__(self, config: "ExperimentConfig") -> None:
        """Read what is done."""
        from pipeline.paper.experiment import captioner_cells, scores_path

        self.config = config
        self.cells: dict[str, dict[int, dict[str, Any]]] = {}
        self.scores: dict[str, dict[int, dict[str, Any]]] = {}
        for (system, seed), result in sorted(captioner_cells(config).items()):
            path = scores_path(config, system, seed)
            if path.exists():
                self.cells.setdefault(system, {})[seed] = result
                self.scores.setdefault(system, {})[seed] = json.loads(path.read_text(encoding="utf-8"))

    def system(self, row: str) -> str:
        """Return the system behind a row of Table II or III."""
        return self.config.ablation if row == "early" else row

    def has(self, row: str) -> bool:
        """Tell whether any seed of a row is done."""
        return self.system(row) in self.cells

    def beam_size(self, row: str) -> int:
        """Return the row's beam size besides greedy."""
        from pipeline.paper.experiment import SYSTEMS

        return SYSTEMS[self.system(row)].beam_size  # type: ignore[index]

    def captions(self, row: str, beam: bool, convention: ConventionName) -> tuple[Measure | None, ...]:
        """Return the caption metrics of a row, times 100."""
        key = str(self.beam_size(row) if beam else 1)
        found = [scores[key][convention] for scores in self.scores[self.system(row)].values()]
        return tuple(_measure([scores[name] for scores in found], 100) for name in METRICS)

    def statistic(self, row: str, beam: bool, name: str) -> Measure | None:
        """Return a decoding statistic of a row."""
        key = str(self.beam_size(row) if beam else 1)
        return _measure([scores[key]["statistics"][name] for scores in self.scores[self.system(row)].values()], 1)

    def retrieval(self, row: str) -> tuple[Measure | None, ...]:
        """Return Table III's scores of a row: recall times 100 and median rank."""
        found = [cell["retrieval"] for cell in self.cells[self.system(row)].values()]
        return tuple(
            _measure([scores[name] for scores in found], 1 if name == "median_rank" else 100) for name in RETRIEVAL
        )

    def curves(self, row: str) -> list[list[float]]:
        """Return validation CIDEr per epoch, times 100, one curve a seed."""
        return [[100 * value for value in cell["validation_cider"]] for cell in self.cells[self.system(row)].values()]


def _measure(values: Sequence[float | None], factor: float) -> Measure | None:
    present = tuple(factor * value for value in values if value is not None)
    return Measure(values=present) if present and len(present) == len(values) else None


def build_tables(results: Results, convention: ConventionName) -> list[Table]:
    """Build Tables I and II under one convention; the paper's numbers stand beside the published one only."""
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
    """Build the statistics of section IV-D4, greedy beside beam."""
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
    """Pick Table IV's tracks: those where greedy search repeats itself and beam search does not, then any."""
    from muscaps.evaluation.metrics import count_immediate_repetitions, plain_words

    if not results.has("early"):
        return []
    early = next(iter(results.cells[results.system("early")].values()))
    greedy, beam = (early["predictions"][str(size)]["default"] for size in (1, results.beam_size("early")))
    others = {}
    if results.has("dcase"):
        others["DCASE baseline"] = next(iter(results.cells["dcase"].values()))["predictions"]["1"]["default"]

    def repeats(text: str) -> bool:
        return count_immediate_repetitions(plain_words(text)) > 0

    telling = [i for i in range(len(greedy)) if repeats(greedy[i]) and not repeats(beam[i])]
    spread = [int(i) for i in np.linspace(0, len(greedy) - 1, min(count, len(greedy)))]
    chosen = list(dict.fromkeys([*telling, *spread]))[:count]
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


def findings(results: Results) -> list[str]:
    """Say whether our numbers confirm or contradict the paper's three sentences (section IV-D)."""
    return [
        finding for finding in (_pre_training(results), _fusion(results), _beam_search(results)) if finding is not None
    ]


def _cider(results: Results, row: str) -> Measure | None:
    return results.captions(row, False, "default")[METRICS.index("cider")] if results.has(row) else None


def _verdict(difference: float, deviation: float) -> str:
    """Two standard deviations decide, as in the paper's tables."""
    if abs(difference) <= 2 * deviation:
        return "not decided"
    return "confirmed" if difference > 0 else "contradicted"


def _pre_training(results: Results) -> str | None:
    with_it, without = _cider(results, "early"), _cider(results, "scratch")
    if with_it is None or without is None:
        return None
    difference = with_it.mean - without.mean
    verdict = _verdict(difference, max(with_it.deviation, without.deviation))
    return (
        f'"Pre-training helps": **{verdict}**. CIDEr {with_it.mean:.1f} with, {without.mean:.1f} without '
        f"({difference:+.1f}; standard deviations {with_it.deviation:.1f} and {without.deviation:.1f})."
    )


def _fusion(results: Results) -> str | None:
    found = {row: measure for row in ("early", "late", "attention") if (measure := _cider(results, row)) is not None}
    if len(found) < 2:
        return None
    best, worst = (pick(found, key=lambda row: found[row].mean) for pick in (max, min))
    spread = found[best].mean - found[worst].mean
    deviation = max(measure.deviation for measure in found.values())
    verdict = "confirmed" if spread <= 2 * deviation else "contradicted"
    numbers = ", ".join(f"{row} {measure.mean:.1f}" for row, measure in found.items())
    return (
        f'"Fusion and attention hardly matter": **{verdict}**. CIDEr {numbers}; {best} leads {worst} by '
        f"{spread:.1f}, two standard deviations are {2 * deviation:.1f}."
    )


def _beam_search(results: Results) -> str | None:
    parts, better = [], []
    for row in ("early", "late", "attention"):
        if not results.has(row):
            continue
        for name, label in (("unk_per_caption", "`<unk>`"), ("repetitions_per_caption", "repetitions")):
            greedy, beam = (results.statistic(row, beam, name) for beam in (False, True))
            if greedy is None or beam is None:
                continue
            change = f"{100 * (beam.mean / greedy.mean - 1):+.0f}%" if greedy.mean > 0 else "none to reduce"
            parts.append(f"{row} {label} {greedy.mean:.3f} to {beam.mean:.3f} ({change})")
            if greedy.mean > 0 or beam.mean > 0:
                better.append(beam.mean < greedy.mean)
    if not parts:
        return None
    verdict = (
        "not decided" if not better else "confirmed" if all(better) else "contradicted" if not any(better) else "mixed"
    )
    return f'"Beam search reduces `<unk>` and repetition": **{verdict}**. Per caption: {"; ".join(parts)}.'


def mean_curve(curves: Sequence[Sequence[float]]) -> list[tuple[int, float, float | None]]:
    """Average curves epoch by epoch, over the seeds still training: (epoch from 1, mean, half interval)."""
    longest = max(map(len, curves))
    points = []
    for epoch in range(longest):
        values = tuple(curve[epoch] for curve in curves if len(curve) > epoch and math.isfinite(curve[epoch]))
        if values:
            measure = Measure(values=values)
            points.append((epoch + 1, measure.mean, measure.half_interval))
    return points


def write_figure(results: Results, output: Path) -> bool:
    """Draw Fig. 4 as `figure_4.png` with `figure_4.csv` beside it; False where no system is done."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    rows = [row for row in TABLE_2_ROWS if results.has(row)]
    if not rows:
        return False
    figure, axes = pyplot.subplots(figsize=(7, 4.2), constrained_layout=True)
    lines = [["system", "epoch", "mean", "half_interval_95"]]
    # Okabe and Ito's colours, told apart by every kind of colour vision.
    for row, colour in zip(rows, ("#999999", "#0072B2", "#D55E00", "#009E73"), strict=False):
        points = mean_curve(results.curves(row))
        epochs, means = [p[0] for p in points], np.array([p[1] for p in points])
        halves = np.array([p[2] or 0.0 for p in points])
        axes.plot(epochs, means, color=colour, label=TABLE_2_LABELS[row])
        axes.fill_between(epochs, means - halves, means + halves, color=colour, alpha=0.2, linewidth=0)
        lines += [[row, str(e), f"{m:.4f}", "" if h is None else f"{h:.4f}"] for e, m, h in points]
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("CIDEr on validation × 100")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(output / "figure_4.png", dpi=150)
    pyplot.close(figure)
    (output / "figure_4.csv").write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")
    return True


def write_report(config: "ExperimentConfig") -> Path:
    """Write every table as Markdown and CSV, the figure, and `experiment.md` with all of it; return its path."""
    results = Results(config)
    tables = [*build_tables(results, "published"), build_retrieval_table(results), build_decoding_table(results)]
    tables += build_tables(results, "default")
    tables = [table for table in tables if table.rows]
    for table in tables:
        (config.output / f"{table.name}.md").write_text(table.markdown(), encoding="utf-8")
        (config.output / f"{table.name}.csv").write_text(table.csv(), encoding="utf-8")
    examples = example_captions(results)
    if examples:
        _write_examples(config.output, examples)
    sections = [_heading(config, results)]
    said = findings(results)
    if said:
        sections.append("## What the numbers say\n\n" + "".join(f"- {sentence}\n" for sentence in said))
    sections += [table.markdown() for table in tables]
    if examples:
        sections.append((config.output / "table_4.md").read_text(encoding="utf-8"))
    if write_figure(results, config.output):
        caption = "CIDEr on the validation split per epoch; mean over seeds, 95% interval shaded"
        sections.append(
            f"**Fig. 4**\n\n![{caption}](figure_4.png)\n\n{caption}; a curve ends where training stopped.\n"
        )
    path = config.output / REPORT
    path.write_text("\n".join(sections), encoding="utf-8")
    return path


def _write_examples(output: Path, examples: Sequence[Mapping[str, str]]) -> None:
    names = list(examples[0])
    lines = ["| | " + " | ".join(f"Example {index}" for index in range(1, len(examples) + 1)) + " |"]
    lines.append("|---|" + "---|" * len(examples))
    lines += [f"| {name} | " + " | ".join(_cell(example[name]) for example in examples) + " |" for name in names]
    title = "Table IV: captions of the early-fusion model, first seed\n\n"
    (output / "table_4.md").write_text(f"**{title.strip()}**\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(examples)
    (output / "table_4.csv").write_text(text.getvalue(), encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") or "(nothing)"


def _heading(config: "ExperimentConfig", results: Results) -> str:
    """Say what was run, on what, and for how long."""
    from pipeline.paper.experiment import captioner_cells, seconds_spent

    card = PreparedDataset(config.dataset).card
    cells = list(captioner_cells(config).values())
    trained = sum(cell["training_seconds"] for cell in cells) / 3600
    splits = ", ".join(f"{count} {name}" for name, count in card["splits"].items())
    seeds = sorted({seed for by_seed in results.cells.values() for seed in by_seed})
    planned = len(config.systems) * len(config.seeds)
    missing = f" **{planned - len(cells)} of {planned} trainings are missing.**" if len(cells) < planned else ""
    training = config.training
    widths = f"hidden {config.model.hidden_dim}, at most {training.max_epochs} epochs, patience {training.patience}"
    return (
        "# The paper's experiments on this dataset\n\n"
        f"Dataset `{card['digest'][:12]}`: {splits} tracks, {card['audio_seconds'] / 3600:.1f} h of audio, "
        f"{card['vocabulary_size']} words. Seeds {', '.join(map(str, seeds)) or 'none'}; {widths}, learning rate "
        f"{config.training.learning_rate:g}; ablation on {config.ablation}. {trained:.1f} h of training in "
        f"{seconds_spent(config.output) / 3600:.1f} h, on {platform.processor() or platform.machine()}.{missing}\n\n"
        "Scores are times 100, means over seeds, ± half a 95% interval; bold is within two standard deviations of "
        "the best. The published convention leaves `<sos>`, `<eos>` and `<unk>` in, as the paper's code does.\n"
    )
