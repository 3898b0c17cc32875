"""Commands that make models: `muscaps dataset prepare`, `muscaps pretrain`, `muscaps train`."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.outcomes import explained, resumable
from jobs.progress import duration, set_up_logging, shown_count

dataset_app = typer.Typer(
    help="Audio-caption pairs, cleaned and ready to train on.", no_args_is_help=True, rich_markup_mode=None
)


class Fusion(StrEnum):
    """Where audio meets words."""

    EARLY = "early"
    LATE = "late"
    ATTENTION = "attention"
    DCASE = "dcase"


class Extractor(StrEnum):
    """An audio network."""

    MUSICNN = "musicnn"
    HCNN = "hcnn"


class Monitor(StrEnum):
    """What early stopping goes by."""

    LOSS = "loss"
    CIDER = "cider"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(dataset_app, name="dataset")
    app.command("pretrain")(pretrain)
    app.command("train")(train)


def _shown(quiet: bool, describe: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], None]:
    """One line an epoch on stderr, at most one every two seconds."""
    last = 0.0

    def show(metrics: Mapping[str, Any]) -> None:
        nonlocal last
        if not quiet and (time.monotonic() - last > 2 or metrics["epoch"] == 1):
            last = time.monotonic()
            typer.echo(describe(metrics), err=True)

    return show


@dataset_app.command("prepare")
def prepare(
    pairs: Annotated[
        str, typer.Argument(help="CSV, TSV, JSONL or Parquet with uri, caption or captions, [split, tags].")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the prepared dataset.")],
    extractor: Annotated[
        Path | None, typer.Option(help="Extractor or captioner whose chunk features are cached.")
    ] = None,
    audio: Annotated[bool, typer.Option(help="Cache the audio, for training extractors and excerpts.")] = True,
    min_seconds: Annotated[float, typer.Option(min=0, help="Shortest track; 0 takes any.")] = 30.0,
    max_seconds: Annotated[float, typer.Option(min=0, help="Longest track; 0 takes any.")] = 360.0,
    min_tokens: Annotated[int, typer.Option(min=1, help="Shortest caption.")] = 3,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest caption.")] = 22,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Keep captions that occur twice.")] = False,
    min_count: Annotated[int, typer.Option(min=1, help="Occurrences a word needs to be learned.")] = 2,
    seed: Annotated[int, typer.Option(help="Seeds the 60/20/20 split of pairs without one.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first pairs.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster, ray://HOST:10001; else this machine.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the dataset's card as JSON.")] = False,
) -> None:
    """Clean pairs as the paper does, split them, decode the audio, count the words."""
    from muscaps.training.dataset import CleaningRules

    set_up_logging(quiet=as_json)
    with explained():
        from pipeline.training.dataset_preparation import PreparationConfig, prepare_dataset

        config = PreparationConfig(
            pairs=pairs,
            output=output,
            rules=CleaningRules(
                min_seconds=min_seconds or None,
                max_seconds=max_seconds or None,
                min_tokens=min_tokens,
                max_tokens=max_tokens,
                unique_captions=not keep_duplicates,
            ),
            seed=seed,
            min_count=min_count,
            extractor=extractor,
            audio=audio,
            address=address,
            limit=limit,
        )
        card = prepare_dataset(config, shown_count("tracks", quiet=as_json))
    if as_json:
        typer.echo(json.dumps(card, indent=2))
        return
    cleaning = card["cleaning"]
    typer.echo(
        f"{cleaning['kept_pairs']} of {cleaning['pairs']} tracks kept, with {cleaning['kept_captions']} captions"
    )
    for what in ("pairs", "captions"):
        for rule, count in cleaning[f"dropped_{what}"].items():
            typer.echo(f"  dropped {count} {'tracks' if what == 'pairs' else 'captions'}: {rule.replace('_', ' ')}")
    splits = ", ".join(f"{name} {card['splits'].get(name, 0)}" for name in ("train", "validation", "test"))
    typer.echo(f"{splits}; {card['vocabulary_size']} words; {card['audio_seconds'] / 3600:.1f} hours in {output}")


_Workers = Annotated[int, typer.Option(min=1, help="Data-parallel processes.")]
_Gpu = Annotated[bool, typer.Option("--gpu", help="One GPU for each worker.")]
_Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of each worker.")]
_Address = Annotated[str | None, typer.Option(help="Ray cluster, ray://HOST:10001; else this machine.")]


def pretrain(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset with audio and tags.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for extractor/, tags.csv and the curve.")],
    architecture: Annotated[Extractor, typer.Option(help="musicnn hears 3 s chunks, hcnn 5 s.")] = Extractor.MUSICNN,
    channels: Annotated[int | None, typer.Option(help="Back-end channels: musicnn 64, hcnn 128.")] = None,
    frontend_scale: Annotated[float, typer.Option(help="musicnn: size of the front end against the published.")] = 1.0,
    max_epochs: Annotated[int, typer.Option(min=1, help="Passes over the training clips at most.")] = 40,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop after so long; the learning rate is zero by then.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Chunks a step, all workers together.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    excerpts: Annotated[int, typer.Option(min=1, help="Chunks drawn from each clip an epoch.")] = 2,
    additive_tags: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated tags of things that sound, kept when two clips are added. "
            "Default: the instruments muscaps renders, or all tags if there are none of those."
        ),
    ] = None,
    augment: Annotated[
        bool, typer.Option(help="Disturb the training audio, so that real recordings are heard too.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seeds weights, order and augmentation.")] = 0,
    name: Annotated[str, typer.Option(help="Short name, the first part of model_id.")] = "muscaps-tagger",
    num_workers: _Workers = 1,
    gpu: _Gpu = False,
    threads: _Threads = None,
    address: _Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Train a tagging network; its convolutional part becomes the captioner's ears.

    The same command again goes on where it stopped.
    """
    with explained(), resumable():
        from muscaps.config import ExtractorConfig
        from muscaps.training.augmentation import NO_AUGMENTATION, AugmentationConfig
        from muscaps.training.tagging import TaggingConfig
        from pipeline.training.distributed_training import Hardware, TaggerRun, train_tagger

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
            extractor=ExtractorConfig(
                name=architecture.value,
                num_channels=channels or (64 if architecture is Extractor.MUSICNN else 128),
                frontend_scale=frontend_scale,
            ),
            name=name,
        )
        hardware = Hardware(num_workers=num_workers, use_gpu=gpu, threads=threads, address=address)
        _announce(dataset, as_json)
        metrics = train_tagger(run, hardware, _shown(as_json, _tagger_line(run.config.max_epochs)))
    if as_json:
        typer.echo(json.dumps(dict(metrics), indent=2))
        return
    typer.echo(f"{len(metrics['roc_auc'])} tags on validation clips (tags.csv):   ROC-AUC  PR-AUC")
    for tag, value in sorted(metrics["roc_auc"].items(), key=lambda item: -item[1]):
        typer.echo(f"  {tag:40s}{value:9.3f}{metrics['pr_auc'][tag]:8.3f}")
    typer.echo(f"  {'mean':40s}{metrics['validation_roc_auc']:9.3f}{metrics['validation_pr_auc']:8.3f}")
    typer.echo(f"extractor: {output / 'extractor'}")


def _announce(dataset: Path, quiet: bool) -> None:
    """Say what is about to be trained on, since the first epoch may take its time."""
    from muscaps.training.dataset import PreparedDataset

    splits = PreparedDataset(dataset).card["splits"]
    if not quiet:
        tracks = f"{splits.get('train', 0):,} tracks, validating on {splits.get('validation', 0):,}"
        typer.echo(f"training on {tracks}; starting Ray", err=True)


def _additive(dataset: Path) -> tuple[str, ...] | None:
    """Tags that name sounding things: the instruments muscaps renders; None if the dataset knows none of them."""
    from muscaps.corpus.instruments import FAMILIES, INSTRUMENTS
    from muscaps.training.dataset import PreparedDataset

    known = {*FAMILIES, *INSTRUMENTS}
    found = {tag for example in PreparedDataset(dataset).examples for tag in example.tags if tag in known}
    return tuple(sorted(found)) or None


def _tagger_line(max_epochs: int) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: (
        f"epoch {row['epoch']}/{max_epochs}  loss {row['loss']:.4f}  ROC-AUC {row['validation_roc_auc']:.3f}  "
        f"PR-AUC {row['validation_pr_auc']:.3f}  {row['chunks_per_s']:.0f} chunks/s  ETA {duration(row['eta_s'])}"
    )


def train(
    dataset: Annotated[Path, typer.Argument(help="Prepared dataset.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for best/, last/ and the curve.")],
    extractor: Annotated[
        Path | None, typer.Option(help="Pre-trained extractor, or a captioner for its extractor.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Captioner to fine-tune on this dataset; `bundled`: the one muscaps comes with."),
    ] = None,
    scratch: Annotated[bool, typer.Option("--scratch", help="No pre-training: extractor from random weights.")] = False,
    fine_tune: Annotated[bool, typer.Option("--fine-tune", help="Train the extractor too.")] = False,
    fusion: Annotated[Fusion, typer.Option(help="Where audio meets words; dcase: the baseline.")] = Fusion.EARLY,
    architecture: Annotated[Extractor, typer.Option(help="With --scratch: musicnn or hcnn.")] = Extractor.MUSICNN,
    channels: Annotated[int | None, typer.Option(help="With --scratch: back-end channels.")] = None,
    frontend_scale: Annotated[float, typer.Option(help="With --scratch: size of musicnn's front end.")] = 1.0,
    glove: Annotated[Path | None, typer.Option(help="GloVe text file; else vectors learned from the captions.")] = None,
    word_dim: Annotated[int, typer.Option(min=1, help="Width of the word vectors.")] = 300,
    hidden_dim: Annotated[int, typer.Option(min=1, help="Hidden units of both LSTMs.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Adam's first learning rate; falls linearly.")] = 1e-4,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs a step, all workers together.")] = 16,
    max_epochs: Annotated[int, typer.Option(min=1, help="Passes over the training pairs at most.")] = 200,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without improvement before stopping.")] = 10,
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Dropout probability.")] = 0.25,
    gradient_clip: Annotated[float, typer.Option(help="Largest gradient norm.")] = 12.0,
    disturbed: Annotated[
        int, typer.Option(min=0, help="Disturbed copies of each training track, for rendered or studio-clean pairs.")
    ] = 0,
    monitor: Annotated[Monitor, typer.Option(help="What stopping and best/ go by.")] = Monitor.LOSS,
    seed: Annotated[int, typer.Option(help="Seeds weights, order, excerpts and dropout.")] = 0,
    name: Annotated[str, typer.Option(help="Short name, the first part of model_id.")] = "muscaps",
    num_workers: _Workers = 1,
    gpu: _Gpu = False,
    threads: _Threads = None,
    address: _Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the best epoch's metrics as JSON.")] = False,
) -> None:
    """Train a captioner, by default as the paper does, on a frozen pre-trained extractor.

    The same command again goes on where it stopped.
    """
    with explained(), resumable():
        from muscaps.checkpoint import BUNDLED
        from muscaps.config import ExtractorConfig, ModelConfig
        from muscaps.training.captioner_training import CaptionTrainingConfig, ExtractorMode
        from pipeline.training.distributed_training import CaptionRun, Hardware, train_captioner

        if start == Path("bundled"):
            start = BUNDLED
        if scratch and fine_tune:
            raise ValueError("--scratch and --fine-tune exclude each other")
        if fusion is Fusion.DCASE:
            if extractor is not None or start is not None or scratch or fine_tune:
                raise ValueError("--fusion dcase goes with none of --extractor, --from, --scratch, --fine-tune")
            from muscaps.models.dcase_baseline import save_log_mel_extractor
            from muscaps.training.dataset import PreparedDataset

            extractor = save_log_mel_extractor(PreparedDataset(dataset).directory / "features" / "log-mel")
        if not scratch and extractor is None and start is None:
            raise ValueError("give --extractor, --from, or --scratch to train without pre-training")
        mode: ExtractorMode = "scratch" if scratch else "fine-tuned" if fine_tune else "frozen"
        ears = ExtractorConfig(
            name=architecture.value,
            num_channels=channels or (64 if architecture is Extractor.MUSICNN else 128),
            frontend_scale=frontend_scale,
        )
        if extractor is not None:
            ears = _config_of(extractor)
        run = CaptionRun(
            dataset=dataset.resolve(),
            output=output.resolve(),
            config=CaptionTrainingConfig(
                learning_rate=learning_rate,
                batch_size=batch_size,
                max_epochs=max_epochs,
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
                extractor=ears,
                fusion=fusion.value,
                dropout=dropout,
            ),
            extractor=extractor.resolve() if extractor else None,
            start=start.resolve() if start else None,
            glove=glove.resolve() if glove else None,
            name=name,
        )
        hardware = Hardware(num_workers=num_workers, use_gpu=gpu, threads=threads, address=address)
        _announce(dataset, as_json)
        show, count = _shown(as_json, _caption_line(max_epochs)), shown_count("tracks heard", quiet=as_json)
        metrics = train_captioner(run, hardware, show, count)
    if as_json:
        typer.echo(json.dumps(dict(metrics), indent=2))
        return
    typer.echo(
        f"best epoch {metrics['epoch']} of {metrics['epochs']}: validation loss {metrics['validation_loss']:.4f}, "
        f"CIDEr {metrics['validation_cider']:.3f}"
    )
    typer.echo(f"checkpoint: {output / 'best'}")


def _config_of(extractor: Path) -> Any:
    """The configuration of an extractor, or of a captioner's extractor."""
    from pipeline.training.dataset_preparation import extractor_config_of

    return extractor_config_of(extractor)


def _caption_line(max_epochs: int) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: (
        f"epoch {row['epoch']}/{max_epochs}  loss {row['train_loss']:.4f}  validation {row['validation_loss']:.4f}  "
        f"CIDEr {row['validation_cider']:.3f}  {row['seconds']:.1f} s an epoch  ETA at most {duration(row['eta_s'])}"
    )
