"""Commands that measure: `muscaps evaluate` and `muscaps experiment`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.outcomes import explained, resumable

if TYPE_CHECKING:
    from muscaps.evaluation import Evaluation
    from muscaps.evaluation.metrics import CaptionScores, DecodingStatistics

LABELS = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
    "spice": "SPICE",
    "spider": "SPIDEr",
}


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("evaluate")(evaluate)
    app.command("experiment")(experiment)


def evaluate(
    dataset: Annotated[Path | None, typer.Argument(help="Dataset made by `muscaps dataset prepare`.")] = None,
    checkpoint: Annotated[Path | None, typer.Argument(help="Checkpoint directory.")] = None,
    captions: Annotated[
        Path | None,
        typer.Option(help='Instead: a JSONL file of {"prediction": ..., "references": [...]} lines.'),
    ] = None,
    convention: Annotated[
        str,
        typer.Option(help="default: special tokens stripped; published: <sos>, <eos>, <unk> left in."),
    ] = "default",
    tokenizer: Annotated[
        str, typer.Option(help="With --captions: ptb, or whitespace for text already tokenized.")
    ] = "ptb",
    split: Annotated[str, typer.Option(help="Split to measure: train, validation or test.")] = "test",
    beam_size: Annotated[
        list[int] | None, typer.Option(help="Beam sizes to compare; repeat it. Default: 1 and 5.")
    ] = None,
    queries: Annotated[int, typer.Option(min=0, help="Captions drawn as search queries; 0: none.")] = 100,
    seed: Annotated[int, typer.Option(help="Seeds the draw of queries.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the split's first tracks.")] = None,
    training_captions: Annotated[
        Path | None,
        typer.Option(help="With --captions: a text file, a training caption a line, to count novel ones."),
    ] = None,
    spice_corenlp: Annotated[
        Path | None, typer.Option(help="Folder with Stanford CoreNLP 3.6.0, for SPICE and SPIDEr.")
    ] = None,
    per_caption: Annotated[
        Path | None, typer.Option(help="Also write every caption's scores to this JSONL file.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; scores are 0 to 1 there.")] = False,
) -> None:
    """Score captions as papers do: BLEU, METEOR, ROUGE-L, CIDEr, SPICE, SPIDEr; search; how captions read."""
    with explained():
        if captions is not None:
            if dataset is not None or checkpoint is not None:
                raise ValueError("give either --captions FILE, or DATASET and CHECKPOINT, not both")
            _evaluate_file(captions, convention, tokenizer, training_captions, spice_corenlp, per_caption, as_json)
            return
        if dataset is None or checkpoint is None:
            raise ValueError("nothing to evaluate: give DATASET and CHECKPOINT, or --captions FILE.jsonl")
        from muscaps.evaluation import EvaluationOptions

        options = EvaluationOptions(
            split=split,
            beam_sizes=tuple(beam_size or (1, 5)),
            convention=_convention(convention),
            num_queries=queries,
            seed=seed,
            limit=limit,
        )
        _evaluate_checkpoint(dataset, checkpoint, options, device, spice_corenlp, per_caption, as_json)


def _convention(name: str) -> Any:
    if name not in ("default", "published"):
        raise ValueError(f"--convention must be default or published, not {name!r}")
    return name


def _evaluate_file(
    path: Path,
    convention: str,
    tokenizer: str,
    training_captions: Path | None,
    corenlp: Path | None,
    per_caption: Path | None,
    as_json: bool,
) -> None:
    from muscaps.evaluation import read_captions, scores_as_json
    from muscaps.evaluation.metrics import decoding_statistics, score_captions

    predictions, references = read_captions(path)
    known = None if training_captions is None else training_captions.read_text(encoding="utf-8").splitlines()
    scores = score_captions(
        predictions,
        references,
        convention=_convention(convention),
        tokenizer=tokenizer,  # type: ignore[arg-type]  # checked there
        corenlp=corenlp,
    )
    statistics = decoding_statistics(predictions, training_captions=known)
    if per_caption is not None:
        _write_per_caption(per_caption, predictions, references, scores)
    if as_json:
        typer.echo(json.dumps(scores_as_json(scores, statistics)))
        return
    _print_scores([("file", scores)])
    _print_statistics([("file", statistics)])
    _print_terms(scores)


def _evaluate_checkpoint(
    dataset: Path,
    checkpoint: Path,
    options: Any,
    device: str,
    corenlp: Path | None,
    per_caption: Path | None,
    as_json: bool,
) -> None:
    from muscaps.captioner import Captioner
    from muscaps.evaluation import evaluate as measure
    from muscaps.evaluation import evaluation_as_json
    from muscaps.evaluation.metrics import CaptionScorer
    from muscaps.training.dataset import PreparedDataset

    with CaptionScorer(corenlp=corenlp) as scorer:
        evaluation = measure(Captioner.load(checkpoint, device), PreparedDataset(dataset), options, scorer)
    headline = evaluation.decoded[-1]
    if per_caption is not None:
        _write_per_caption(
            per_caption, headline.predictions, evaluation.references, headline.scores, evaluation.track_ids
        )
    if as_json:
        typer.echo(json.dumps(evaluation_as_json(evaluation)))
        return
    typer.echo(f"{evaluation.model_id} on {len(evaluation.track_ids)} tracks of the {evaluation.split} split")
    names = ["greedy" if found.beam_size == 1 else f"beam {found.beam_size}" for found in evaluation.decoded]
    _print_scores(list(zip(names, (found.scores for found in evaluation.decoded), strict=True)))
    _print_statistics(list(zip(names, (found.statistics for found in evaluation.decoded), strict=True)))
    _print_retrieval(evaluation)
    _print_terms(headline.scores)


def _write_per_caption(
    path: Path,
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    scores: "CaptionScores",
    track_ids: Sequence[str] | None = None,
) -> None:
    with path.open("w", encoding="utf-8") as lines:
        for index, (prediction, truths) in enumerate(zip(predictions, references, strict=True)):
            row: dict[str, Any] = {} if track_ids is None else {"track_id": track_ids[index]}
            row |= {"prediction": prediction, "references": list(truths)}
            row |= {name: None if values is None else values[index] for name, values in scores.per_caption.items()}
            lines.write(json.dumps(row) + "\n")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:  # a pipe has no width: never cut a column for it
        console = Console(width=200)
    console.print(table)


def _print_scores(rows: Sequence[tuple[str, "CaptionScores"]]) -> None:
    _print_table(
        ["x 100", *LABELS.values()],
        [
            [name, *("-" if value is None else f"{100 * value:.1f}" for value in map(scores.corpus.get, LABELS))]
            for name, scores in rows
        ],
    )


def _print_statistics(rows: Sequence[tuple[str, "DecodingStatistics"]]) -> None:
    _print_table(
        [
            "per caption",
            "words",
            "<unk>",
            "repeats",
            "n-grams again",
            "vocabulary",
            "distinct",
            "novel",
        ],
        [
            [
                name,
                f"{found.mean_words:.1f}",
                f"{found.unk_per_caption:.3f}",
                f"{found.repetitions_per_caption:.3f}",
                f"{found.repeated_ngrams_per_caption:.3f}",
                str(found.vocabulary_used),
                f"{found.distinct_captions:.0%}",
                "-" if found.novel_captions is None else f"{found.novel_captions:.0%}",
            ]
            for name, found in rows
        ],
    )


def _print_retrieval(evaluation: "Evaluation") -> None:
    found = evaluation.retrieval
    if found is None:
        return
    _print_table(
        ["search", "R@1", "R@5", "R@10", "median rank"],
        [
            [
                f"{found.num_queries} queries, {found.num_tracks} tracks",
                *(f"{100 * value:.1f}" for value in (found.recall_at_1, found.recall_at_5, found.recall_at_10)),
                f"{found.median_rank:.1f}",
            ]
        ],
    )
    typer.echo(f"{found.queries_with_unk} of {found.num_queries} queries hold a word the model does not know")


def _print_terms(scores: "CaptionScores") -> None:
    typer.echo(f"convention: {scores.convention}; tokenizer: {scores.tokenizer}; {scores.num_captions} captions")
    for note in scores.notes:
        typer.echo(f"note: {note}")
    for name, reason in scores.missing.items():
        typer.echo(f"{LABELS[name]} missing: {reason}")


def experiment(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset with audio, and tags unless extractors are given.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for cells, tables and figure.")],
    scale: Annotated[
        str, typer.Option(help="paper: the paper's sizes, for GPUs; small: a few hours on two CPU cores.")
    ] = "paper",
    musicnn: Annotated[
        Path | None, typer.Option(help="Pre-trained musicnn (or a captioner on it); else one is pre-trained here.")
    ] = None,
    hcnn: Annotated[
        Path | None, typer.Option(help="Pre-trained Harmonic CNN (or a captioner on it); else one is pre-trained.")
    ] = None,
    ablation: Annotated[str, typer.Option(help="Audio network of Tables II and III: musicnn or hcnn.")] = "musicnn",
    seed: Annotated[list[int] | None, typer.Option(help="Seeds; repeat it. Default: 0, 1 and 2.")] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(help="Only these: dcase, musicnn, hcnn, scratch, late, attention; repeat it."),
    ] = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs at most; default: the scale's.")] = None,
    scratch_max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs at most without pre-training; default: the scale's.")
    ] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="Epochs without improvement before stopping.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster, ray://HOST:10001; else this machine.")] = None,
    num_cpus: Annotated[int | None, typer.Option(min=1, help="Cells side by side on this machine.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Run the paper's experiments on your dataset: Tables I to IV and Fig. 4, beside the paper's numbers.

    The same command again goes on where it stopped. Exit 3: some cells failed, the tables have gaps.
    """
    from jobs.progress import set_up_logging

    set_up_logging(quiet=as_json)
    with explained(), resumable():
        from jobs.recipes import paper_experiment, small_experiment
        from pipeline.paper.experiment import run_experiment

        recipes = {"paper": paper_experiment, "small": small_experiment}
        if scale not in recipes:
            raise ValueError(f"--scale must be paper or small, not {scale!r}")
        config = recipes[scale](dataset.resolve(), output.resolve())
        training = replace(
            config.training,
            max_epochs=max_epochs or config.training.max_epochs,
            patience=patience or config.training.patience,
        )
        summary = run_experiment(
            replace(
                config,
                musicnn=musicnn.resolve() if musicnn else None,
                hcnn=hcnn.resolve() if hcnn else None,
                ablation=ablation,  # type: ignore[arg-type]  # checked there
                seeds=tuple(seed or config.seeds),
                systems=tuple(system or config.systems),  # type: ignore[arg-type]  # checked there
                training=training,
                scratch_max_epochs=scratch_max_epochs
                or min(training.max_epochs, config.scratch_max_epochs or training.max_epochs),
                address=address,
                num_cpus=num_cpus,
            )
        )
    if as_json:
        typer.echo(json.dumps(asdict(summary), default=str))
    else:
        typer.echo(f"{summary.done} cells done; tables and figure in {summary.report}")
    for name, reason in summary.failed.items():
        typer.echo(f"muscaps: cell {name} failed: {reason}", err=True)
    raise typer.Exit(3 if summary.failed else 0)
