"""`muscaps pretrain`: a tagging network whose layers become an audio encoder."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.options import (
    AddressOption,
    Extractor,
    GpuOption,
    MaxEpochsOption,
    NameOption,
    NumWorkersOption,
    ThreadsOption,
)
from jobs.outcomes import explained, resumable
from jobs.progress import announce_dataset, duration, epoch_printer


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(pretrain)


def pretrain(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset with audio and tags.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for extractor/, tags.csv and the curve.")],
    architecture: Annotated[Extractor, typer.Option(help="musicnn (3 s chunks) or hcnn (5 s).")] = Extractor.MUSICNN,
    channels: Annotated[int | None, typer.Option(help="Back-end channels: musicnn 64, hcnn 128.")] = None,
    frontend_scale: Annotated[
        float, typer.Option(help="musicnn: size of the front end relative to the published one.")
    ] = 1.0,
    max_epochs: MaxEpochsOption = 40,
    max_minutes: Annotated[
        float | None, typer.Option(help="Time limit; the learning rate falls to zero by then.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Chunks per step, summed over workers.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    excerpts: Annotated[int, typer.Option(min=1, help="Chunks drawn from each clip per epoch.")] = 2,
    additive_tags: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated tags of things that sound, kept when two clips are added. "
            "Default: the instruments muscaps renders, or all tags if there are none of those."
        ),
    ] = None,
    augment: Annotated[
        bool, typer.Option(help="Augment the training audio, so that the network generalises to real recordings.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seeds weights, order and augmentation.")] = 0,
    name: NameOption = "muscaps-tagger",
    num_workers: NumWorkersOption = 1,
    gpu: GpuOption = False,
    threads: ThreadsOption = None,
    address: AddressOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Train a tagging network as audio encoder.

    Its convolutional layers become the captioner's feature extractor. The same command continues an interrupted
    training.
    """
    with explained(), resumable():
        from muscaps.training.augmentation import NO_AUGMENTATION, AugmentationConfig
        from muscaps.training.tagger_config import TaggingConfig
        from pipeline.training.distributed import Hardware
        from pipeline.training.tagger_run import TaggerRun, train_tagger

        tags = _additive(dataset) if additive_tags is None else tuple(tag.strip() for tag in additive_tags.split(","))
        run = TaggerRun(
            dataset=dataset.resolve(),
            output=output.resolve(),
            config=TaggingConfig(
                learning_rate=learning_rate,
                batch_size=batch_size,
                max_epochs=max_epochs,
                max_minutes=max_minutes,
                excerpts_per_clip=excerpts,
                seed=seed,
                additive_tags=tags,
                augmentation=AugmentationConfig() if augment else NO_AUGMENTATION,
            ),
            extractor=architecture.config(channels, frontend_scale),
            name=name,
        )
        hardware = Hardware(num_workers=num_workers, use_gpu=gpu, threads=threads, address=address)
        announce_dataset(dataset, as_json)
        metrics = train_tagger(run, hardware, epoch_printer(as_json, _tagger_line(run.config.max_epochs)))
    if as_json:
        typer.echo(json.dumps(dict(metrics), indent=2))
        return
    typer.echo(f"{len(metrics['roc_auc'])} tags on validation clips (tags.csv):   ROC-AUC  PR-AUC")
    for tag, value in sorted(metrics["roc_auc"].items(), key=lambda item: -item[1]):
        typer.echo(f"  {tag:40s}{value:9.3f}{metrics['pr_auc'][tag]:8.3f}")
    typer.echo(f"  {'mean':40s}{metrics['validation_roc_auc']:9.3f}{metrics['validation_pr_auc']:8.3f}")
    typer.echo(f"extractor: {output / 'extractor'}")


def _additive(dataset: Path) -> tuple[str, ...] | None:
    """Return the dataset's tags that are instruments muscaps renders; None if there are none."""
    from muscaps.corpus.instruments import FAMILIES, INSTRUMENTS
    from muscaps.training.dataset.reader import PreparedDataset

    known = {*FAMILIES, *INSTRUMENTS}
    found = {tag for example in PreparedDataset(dataset).examples for tag in example.tags if tag in known}
    return tuple(sorted(found)) or None


def _tagger_line(max_epochs: int) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: (
        f"epoch {row['epoch']}/{max_epochs}  loss {row['train_loss']:.4f}  ROC-AUC {row['validation_roc_auc']:.3f}  "
        f"PR-AUC {row['validation_pr_auc']:.3f}  {row['examples_per_s']:.0f} chunks/s  ETA {duration(row['eta_s'])}"
    )
