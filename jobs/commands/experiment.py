"""`muscaps experiment`: the paper's tables and figure."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from jobs.extras import require_extra
from jobs.options import AddressOption
from jobs.outcomes import explained, resumable
from jobs.progress import set_up_logging
from jobs.recipes import cpu_experiment, paper_experiment, small_experiment


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(experiment)


def experiment(
    dataset: Annotated[
        Path, typer.Argument(help="Prepared dataset with audio, and tags unless extractors are given; or toy.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for cells, tables and figure.")],
    scale: Annotated[
        str, typer.Option(help="paper: the paper's sizes, for GPUs; cpu: hours to days on two cores; small: minutes.")
    ] = "paper",
    facts: Annotated[
        Path | None,
        typer.Option(
            help="Table with track_id, origin (rendered or real), instruments, feel, genre and bpm, for the truth of "
            "captions and for tables of the real tracks."
        ),
    ] = None,
    musicnn: Annotated[
        Path | None, typer.Option(help="Pre-trained musicnn (or a captioner on it); else one is pre-trained here.")
    ] = None,
    ours: Annotated[
        Path | None, typer.Option(help="A second pre-trained musicnn (or a captioner on it); else one is pre-trained.")
    ] = None,
    hcnn: Annotated[
        Path | None, typer.Option(help="Pre-trained Harmonic CNN (or a captioner on it); else one is pre-trained.")
    ] = None,
    ablation: Annotated[
        str, typer.Option(help="Audio network of Tables II and III: musicnn, ours or hcnn.")
    ] = "musicnn",
    seed: Annotated[list[int] | None, typer.Option(help="Seeds; repeat it. Default: 0, 1 and 2.")] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(help="Only these: musicnn, late, attention, ours, hcnn, scratch, dcase; repeat it."),
    ] = None,
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(help="Learning rates to choose from on the validation split, with the first seed; repeat it."),
    ] = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs at most; default: the scale's.")] = None,
    scratch_max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs at most without pre-training; default: the scale's.")
    ] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="Epochs without improvement before stopping.")] = None,
    address: AddressOption = None,
    num_cpus: Annotated[int | None, typer.Option(min=1, help="Cells to run in parallel on this machine.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Run the paper's experiments on your dataset.

    Writes Tables I to IV and Fig. 4, with the paper's numbers. The same command continues an interrupted run.
    DATASET toy with --scale small is a trial on synthesised tones that takes minutes.
    Exit status 3: some cells failed, and the tables have gaps.
    """

    set_up_logging(quiet=as_json)
    with explained(), resumable():
        require_extra("evaluate", "experiment")
        from pipeline.paper.experiment import run_experiment

        recipes = {"paper": paper_experiment, "cpu": cpu_experiment, "small": small_experiment}
        if scale not in recipes:
            raise ValueError(f"--scale must be paper, cpu or small, not {scale!r}")
        if str(dataset) == "toy" and not dataset.exists():
            from pipeline.paper.toy import write_toy_dataset

            dataset, facts = write_toy_dataset(output)
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
                ours=ours.resolve() if ours else None,
                hcnn=hcnn.resolve() if hcnn else None,
                facts=facts.resolve() if facts else None,
                ablation=ablation,  # type: ignore[arg-type]  # checked there
                seeds=tuple(seed or config.seeds),
                systems=tuple(system or config.systems),  # type: ignore[arg-type]  # checked there
                training=training,
                learning_rates=tuple(learning_rate or config.learning_rates),
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
