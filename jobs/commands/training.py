"""`muscaps train`: a captioner."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.extras import require_extra
from jobs.fine_tuning_report import fine_tuning_lines
from jobs.options import (
    AddressOption,
    Extractor,
    GpuOption,
    NameOption,
    NumWorkersOption,
    ThreadsOption,
)
from jobs.outcomes import explained, resumable
from jobs.progress import announce_dataset, duration, epoch_printer, shown_count
from jobs.training_report import result_line, useless_captioner_warning

if TYPE_CHECKING:
    from muscaps.config import ExtractorConfig


class Fusion(StrEnum):
    """Where audio and words are combined."""

    EARLY = "early"
    LATE = "late"
    ATTENTION = "attention"
    DCASE = "dcase"


class Monitor(StrEnum):
    """The metric of early stopping."""

    LOSS = "loss"
    CIDER = "cider"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("train")(train)


def train(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for best/, last/ and the curve.")],
    extractor: Annotated[
        Path | None, typer.Option(help="Pre-trained extractor, or a captioner for its extractor.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Captioner to fine-tune; `bundled` is the bundled one."),
    ] = None,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="No pre-training: start the extractor from random weights.")
    ] = False,
    fine_tune: Annotated[bool, typer.Option("--fine-tune", help="Train the extractor too.")] = False,
    fusion: Annotated[
        Fusion, typer.Option(help="Where audio and words are combined; dcase: the baseline.")
    ] = Fusion.EARLY,
    architecture: Annotated[Extractor, typer.Option(help="With --scratch: musicnn or hcnn.")] = Extractor.MUSICNN,
    channels: Annotated[int | None, typer.Option(help="With --scratch: back-end channels.")] = None,
    frontend_scale: Annotated[float, typer.Option(help="With --scratch: size of musicnn's front end.")] = 1.0,
    glove: Annotated[
        Path | None, typer.Option(help="GloVe text file; default: vectors learned from the captions.")
    ] = None,
    word_dim: Annotated[int, typer.Option(min=1, help="Width of the word vectors.")] = 300,
    hidden_dim: Annotated[int, typer.Option(min=1, help="Hidden units of both LSTMs.")] = 256,
    blend: Annotated[
        float | None,
        typer.Option(help="With --from: share of the training in the weights, 0 to 1; default: chosen on the pairs."),
    ] = None,
    replay: Annotated[
        float, typer.Option(help="With --from: share of the tracks also trained with their caption before training.")
    ] = 0.5,
    folds: Annotated[
        int | None,
        typer.Option(min=3, help="With --from: also train on N folds, so that every pair is tested once."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Adam's first learning rate; falls linearly. Default: 1e-4; with --from 1e-3."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs per step, summed over workers.")] = 16,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of epochs. Default: 200; with --from 40.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Time limit.")] = None,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without improvement before stopping.")] = 10,
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Dropout probability.")] = 0.25,
    gradient_clip: Annotated[float, typer.Option(help="Largest gradient norm.")] = 12.0,
    disturbed: Annotated[int, typer.Option(min=0, help="Augmented copies of each training track.")] = 0,
    monitor: Annotated[Monitor, typer.Option(help="Metric that selects best/ and stops the training.")] = Monitor.LOSS,
    seed: Annotated[int, typer.Option(help="Seeds weights, order, excerpts and dropout.")] = 0,
    name: NameOption = "muscaps",
    num_workers: NumWorkersOption = 1,
    gpu: GpuOption = False,
    threads: ThreadsOption = None,
    address: AddressOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the best epoch's metrics as JSON.")] = False,
) -> None:
    """Train a captioner on prepared pairs.

    The default is the paper's method: a frozen pre-trained extractor. The same command continues an interrupted
    training.
    """
    with explained(), resumable():
        if monitor is Monitor.CIDER:
            require_extra("evaluate", "train --monitor cider")
        from muscaps.checkpoint import checkpoint_path
        from muscaps.config import ModelConfig
        from muscaps.training.captioner_config import CaptionTrainingConfig, ExtractorMode
        from pipeline.training.captioner_run import CaptionRun, train_captioner
        from pipeline.training.distributed import Hardware

        extractor = checkpoint_path(extractor) if extractor else None
        _check_start(fusion, extractor, start, scratch=scratch, fine_tune=fine_tune)
        if fusion is Fusion.DCASE:
            extractor = _log_mel_extractor(dataset)
        max_epochs = max_epochs or (40 if start else 200)
        mode: ExtractorMode = "scratch" if scratch else "fine-tuned" if fine_tune else "frozen"
        extractor_config = _extractor_config(extractor, architecture, channels, frontend_scale)
        run = CaptionRun(
            dataset=dataset.resolve(),
            output=output.resolve(),
            config=CaptionTrainingConfig(
                learning_rate=learning_rate or (1e-3 if start else 1e-4),
                batch_size=batch_size,
                max_epochs=max_epochs,
                learn_unknown=start is None,
                max_minutes=max_minutes,
                patience=patience,
                gradient_clip=gradient_clip,
                monitor=monitor.value,
                extractor_mode=mode,
                disturbed_versions=disturbed,
                seed=seed,
            ),
            model=replace(
                ModelConfig(hidden_dim=hidden_dim, audio_embedding_dim=hidden_dim, word_embedding_dim=word_dim),
                extractor=extractor_config,
                fusion=fusion.value,
                dropout=dropout,
            ),
            extractor=extractor.resolve() if extractor else None,
            start=checkpoint_path(start).resolve() if start else None,
            glove=glove.resolve() if glove else None,
            blend=blend,
            replay=replay,
            folds=folds,
            name=name,
        )
        hardware = Hardware(num_workers=num_workers, use_gpu=gpu, threads=threads, address=address)
        announce_dataset(dataset, as_json)
        show, count = (
            epoch_printer(as_json, _caption_line(max_epochs, folds)),
            shown_count("tracks encoded", quiet=as_json),
        )
        metrics = train_captioner(run, hardware, show, count)
    if as_json:
        typer.echo(json.dumps(dict(metrics), indent=2))
        return
    typer.echo(result_line(metrics))
    for line in fine_tuning_lines(metrics):
        typer.echo(line)
    typer.echo(f"checkpoint: {output / 'best'}")
    if start is None:
        for line in useless_captioner_warning(metrics, _num_training_pairs(dataset)):
            typer.echo(line, err=True)


def _check_start(fusion: Fusion, extractor: Path | None, start: Path | None, *, scratch: bool, fine_tune: bool) -> None:
    """Raise ValueError for options that contradict each other."""
    if scratch and fine_tune:
        raise ValueError("--scratch and --fine-tune exclude each other")
    if fusion is Fusion.DCASE:
        if extractor is not None or start is not None or scratch or fine_tune:
            raise ValueError("--fusion dcase cannot be combined with --extractor, --from, --scratch or --fine-tune")
    elif not scratch and extractor is None and start is None:
        raise ValueError("give --extractor or --from, or --scratch to train without pre-training")


def _num_training_pairs(dataset: Path) -> int:
    from muscaps.training.dataset.reader import PreparedDataset

    return int(PreparedDataset(dataset).card["splits"].get("train", 0))


def _log_mel_extractor(dataset: Path) -> Path:
    """Return the folder of the DCASE baseline's features of a dataset."""
    from muscaps.checkpoint import save_log_mel_extractor
    from muscaps.training.dataset.reader import PreparedDataset

    return save_log_mel_extractor(PreparedDataset(dataset).directory / "features" / "log-mel")


def _extractor_config(
    extractor: Path | None, architecture: Extractor, channels: int | None, frontend_scale: float
) -> "ExtractorConfig":
    """Return the configuration of an extractor or of a captioner's extractor, else that of a new one."""
    from muscaps.training.pretrained_extractor import extractor_config_of

    if extractor is not None:
        return extractor_config_of(extractor)
    return architecture.config(channels, frontend_scale)


def _caption_line(max_epochs: int, folds: int | None) -> Callable[[Mapping[str, Any]], str]:
    def line(row: Mapping[str, Any]) -> str:
        fold = f"fold {row['fold']} of {folds}, " if "fold" in row else ""
        return (
            f"{fold}epoch {row['epoch']}/{max_epochs}: loss {row['train_loss']:.4f}, validation loss "
            f"{row['validation_loss']:.4f}, greedy CIDEr x 100 {100 * row['validation_cider']:.1f}; "
            f"{row['seconds']:.1f} s an epoch, at most {duration(row['eta_s'])} left"
        )

    return line
