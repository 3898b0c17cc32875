"""`muscaps checkpoint import` and `muscaps checkpoint show`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jobs.outcomes import explained, refused

checkpoint_app = typer.Typer(
    help="Import published weights; show a checkpoint.", no_args_is_help=True, rich_markup_mode=None
)


class MusicnnModel(StrEnum):
    """Which of the published musicnn networks."""

    MTT = "MTT_musicnn"
    MSD = "MSD_musicnn"


class Layers(StrEnum):
    """Layers of the original musicnn that can be a chunk's feature."""

    PENULTIMATE = "penultimate"
    MAXIMA = "maxima"
    MAXIMA_MEANS = "maxima_means"


def register(app: typer.Typer) -> None:
    """Add `checkpoint` to the command line."""
    app.add_typer(checkpoint_app, name="checkpoint")


@checkpoint_app.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(help="A published experiment folder, a bare extractor's best_model.pth, or musicnn's wheel."),
    ],
    output: Annotated[Path, typer.Argument(help="Directory to write the checkpoint to.")],
    name: Annotated[str, typer.Option(help="Short name, the first part of model_id.")] = "published",
    model: Annotated[
        MusicnnModel, typer.Option(help="musicnn's wheel only: trained on MagnaTagATune or the Million Song Dataset.")
    ] = MusicnnModel.MTT,
    layers: Annotated[
        Layers, typer.Option(help="musicnn's wheel only: the layer whose values are a chunk's feature.")
    ] = Layers.PENULTIMATE,
    allow_unknown: Annotated[
        bool,
        typer.Option("--allow-unknown", help="Captions may contain <unk>, as those of the published program."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what OUTPUT holds.")] = False,
) -> None:
    """Import published weights as a checkpoint.

    An experiment folder holds config.yaml, vocab.json and best_model.pth.tar (cnn_lstm_caption or
    cnn_attention_lstm, musicnn or hcnn) and becomes a captioner; a .pth file becomes an extractor that
    `muscaps train` can start from. The wheel of musicnn 0.1.0 (or the folder it was unpacked to) becomes an
    extractor with its 50 tags.
    """
    from muscaps.checkpoint import save_checkpoint, save_extractor
    from muscaps.published import import_experiment, import_extractor
    from muscaps.published_musicnn import import_musicnn, is_musicnn

    if output.exists() and not force and (not output.is_dir() or any(output.iterdir())):
        raise refused(f"{output} exists already; add --force to replace it")
    origin = {"imported_from": source.name, "note": "published weights, imported; not trained by muscaps"}
    with explained():
        if is_musicnn(source):
            found = import_musicnn(source, model.value, layers.value)
            model_id = save_extractor(
                output,
                found.extractor,
                found.config,
                name=name,
                training=origin | {"model": model.value, "licence": found.licence},
                metrics={},
                head=found.head,
                tags=found.tags,
            )
            kind = (
                f"an extractor, {model.value}, {found.extractor.feature_dim} features a chunk, {len(found.tags)} tags"
            )
        elif source.is_dir():
            captioner, vocabulary, settings = import_experiment(source)
            model_id = save_checkpoint(
                output,
                captioner,
                vocabulary,
                name=name,
                training=origin | {"settings": settings},
                metrics={},
                sections={"decoding": {"allow_unknown": True}} if allow_unknown else {},
            )
            kind = f"a captioner, {captioner.config.fusion}, {len(vocabulary)} words"
        else:
            extractor, config = import_extractor(source)
            model_id = save_extractor(output, extractor, config, name=name, training=origin, metrics={})
            kind = f"an extractor, {config.name}, {extractor.feature_dim} features a chunk"
    typer.echo(f"{output}: {kind}, model_id {model_id}")


@checkpoint_app.command()
def show(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="A checkpoint directory, or bundled; default: bundled.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole model card, as JSON.")] = False,
) -> None:
    """Show a checkpoint: model, training data, accuracy."""
    from muscaps.checkpoint import CARD, checkpoint_path, model_id, read_card

    directory = checkpoint_path(checkpoint or "bundled")
    with explained():
        kind = "extractor" if '"kind": "extractor"' in _text(directory / CARD) else "captioner"
        card = read_card(directory, kind)
    if as_json:
        typer.echo(json.dumps(card | {"model_id": model_id(directory, card["name"])}, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{model_id(directory, card['name'])}  ({kind}, muscaps {card['code_version']})")
    for section in ("model", "extractor", "audio", "tags", "comparison", "training", "metrics", "departures"):
        if card.get(section):
            typer.echo(f"\n{section}")
            _show(card[section], indent=2)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _show(value: object, indent: int) -> None:
    """Print nested settings as an indented outline."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list) and item:
                typer.echo(f"{' ' * indent}{key}:")
                _show(item, indent + 2)
            else:
                typer.echo(f"{' ' * indent}{key}: {item}")
    elif isinstance(value, list) and all(not isinstance(item, dict | list) for item in value):
        typer.echo(f"{' ' * indent}{', '.join(map(str, value))}")
    elif isinstance(value, list):
        for item in value:
            _show(item, indent)
    else:
        typer.echo(f"{' ' * indent}{value}")
