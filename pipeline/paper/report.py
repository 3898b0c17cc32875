"""The report of an experiment: every table, Fig. 4 and the verdicts in one Markdown page."""

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from muscaps.training.dataset.reader import PreparedDataset
from pipeline.paper.cell_results import seconds_spent
from pipeline.paper.differences import differences_of_cider
from pipeline.paper.figure import write_figure
from pipeline.paper.paper_tables import (
    build_decoding_table,
    build_retrieval_table,
    build_tables,
    example_captions,
)
from pipeline.paper.plan import ExperimentConfig
from pipeline.paper.results import Results
from pipeline.paper.verdicts import findings

REPORT = "experiment.md"


def write_report(config: ExperimentConfig) -> Path:
    """Write tables as Markdown and CSV, the figure, and `experiment.md` with all of them; return its path."""
    results, real = Results(config), Results(config, "real")
    sections = [_heading(config, results)]
    sections += [_verdicts("Verdicts on the paper's statements", findings(results))]
    if real.cells:
        sections += [_verdicts("The same on the real tracks of the test split", findings(real))]
    sections += [_training_table(results)]
    for found in (results, real):
        tables = [*build_tables(found, "published"), build_retrieval_table(found), build_decoding_table(found)]
        for table in [*tables, *build_tables(found, "default")]:
            if table.rows:
                (config.output / f"{table.name}.md").write_text(table.markdown(), encoding="utf-8")
                (config.output / f"{table.name}.csv").write_text(table.csv(), encoding="utf-8")
                sections.append(table.markdown())
        sections.append(differences_of_cider(found))
    examples = example_captions(results)
    if examples:
        _write_examples(config.output, examples)
        sections.append((config.output / "table_4.md").read_text(encoding="utf-8"))
    if write_figure(results, config.output):
        caption = "CIDEr on the validation split per epoch; mean over seeds, 95% interval shaded"
        sections.append(
            f"**Fig. 4**\n\n![{caption}](figure_4.png)\n\n{caption}; a curve ends where training stopped.\n"
        )
    path = config.output / REPORT
    path.write_text("\n".join(filter(None, sections)), encoding="utf-8")
    return path


def _verdicts(title: str, sentences: Sequence[str]) -> str:
    return f"## {title}\n\n" + "".join(f"- {sentence}\n" for sentence in sentences) if sentences else ""


def _training_table(results: Results) -> str:
    """Say how each system was trained: its learning rate, and where it stopped."""
    lines = []
    for system, by_seed in results.cells.items():
        cells = list(by_seed.values())
        late = sum(not cell["stopped_early"] for cell in cells)
        numbers = [
            f"{cells[0]['learning_rate']:g}",
            ", ".join(str(cell["best_epoch"]) for cell in cells),
            ", ".join(str(len(cell["validation_loss"])) for cell in cells),
            f"{late} of {len(cells)}" if late else "none",
            f"{sum(cell['training_seconds'] for cell in cells) / len(cells) / 60:.1f}",
        ]
        lines.append(f"| {system} | {' | '.join(numbers)} |\n")
    if not lines:
        return ""
    head = "| system | learning rate | best epoch | epochs | not stopped early | minutes a seed |\n"
    return f"**Training, by seed**\n\n{head}|---|---:|---:|---:|---:|---:|\n{''.join(lines)}"


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


def _heading(config: ExperimentConfig, results: Results) -> str:
    """Return the head of the report: dataset, settings, durations and machine."""
    card = PreparedDataset(config.dataset).card
    cells = [cell for by_seed in results.cells.values() for cell in by_seed.values()]
    trained = sum(cell["training_seconds"] for cell in cells) / 3600
    splits = ", ".join(f"{count} {name}" for name, count in card["splits"].items())
    seeds = sorted({seed for by_seed in results.cells.values() for seed in by_seed})
    planned, counts = len(config.seeds), {name: len(results.cells.get(name, ())) for name in config.systems}
    fewer = ", ".join(f"{name} {count} of {planned}" for name, count in counts.items() if count < planned)
    missing = f" **Not every seed is done: {fewer}.**" if fewer else ""
    training = config.training
    widths = f"hidden {config.model.hidden_dim}, at most {training.max_epochs} epochs, patience {training.patience}"
    return (
        "# The paper's experiments on this dataset\n\n"
        f"Dataset `{card['digest'][:12]}`: {splits} tracks, {card['audio_seconds'] / 3600:.1f} h of audio, "
        f"{card['vocabulary_size']} words. Seeds {', '.join(map(str, seeds)) or 'none'}; {widths}, learning rate "
        f"the best of {', '.join(f'{rate:g}' for rate in config.rates)} on the validation split with seed "
        f"{config.seeds[0]}; ablation on {config.ablation}. {trained:.1f} h of training in "
        f"{seconds_spent(config.output) / 3600:.1f} h, on {platform.processor() or platform.machine()}.{missing}\n\n"
        "Scores are times 100, means over seeds, ± half a 95% interval; bold is within two standard deviations of "
        "the best. The published convention leaves `<sos>`, `<eos>` and `<unk>` in and searches without constraints, "
        "as the paper's code does; under the default convention no content word is repeated and `<unk>` is excluded. "
        "Facts P and R: precision and recall of the claims of captions (families, moods, energies, tempo) under the "
        "default convention.\n"
    )
