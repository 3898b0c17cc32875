"""`muscaps dataset prepare`: pairs of audio and captions made ready for training."""

import json
from pathlib import Path
from typing import Annotated

import typer

from jobs.options import AddressOption
from jobs.outcomes import explained
from jobs.preparation_report import preparation_lines
from jobs.progress import set_up_logging, shown_count

dataset_app = typer.Typer(
    help="Prepare pairs of audio and captions for training.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add `dataset` to the app."""
    app.add_typer(dataset_app, name="dataset")


@dataset_app.command("prepare")
def prepare(
    pairs: Annotated[
        str,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet with uri, caption or captions, [split, tags]; or a reviewed OUTPUT."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the prepared dataset.")],
    extractor: Annotated[
        Path | None, typer.Option(help="Extractor or captioner whose features are cached, or bundled.")
    ] = None,
    audio: Annotated[bool, typer.Option(help="Cache the audio, for training of extractors.")] = True,
    min_seconds: Annotated[float, typer.Option(min=0, help="Minimum track length; 0: no limit.")] = 30.0,
    max_seconds: Annotated[float, typer.Option(min=0, help="Maximum track length; 0: no limit.")] = 360.0,
    min_tokens: Annotated[int, typer.Option(min=1, help="Minimum caption length.")] = 3,
    max_tokens: Annotated[int, typer.Option(min=1, help="Maximum caption length.")] = 22,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Keep duplicate captions.")] = False,
    keep_fragments: Annotated[
        bool, typer.Option("--keep-fragments", help="Keep captions that end in the middle of a phrase.")
    ] = False,
    min_count: Annotated[int, typer.Option(min=1, help="Occurrences that a word needs to enter the vocabulary.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the 60/20/20 split of pairs without a split.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N pairs.")] = None,
    caption_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the captions; default: caption or captions.")
    ] = None,
    split_sentences: Annotated[
        bool, typer.Option("--split-sentences", help="Split captions above --max-tokens into their sentences.")
    ] = False,
    address: AddressOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the dataset's card as JSON.")] = False,
) -> None:
    """Clean, split and cache pairs of audio and captions.

    Cleaning follows the paper. Writes decoded audio, features, the split and the vocabulary.
    """
    from muscaps.training.dataset.cleaning import CleaningRules

    set_up_logging(quiet=as_json)
    with explained():
        from muscaps.checkpoint import checkpoint_path
        from pipeline.training.prepare import PreparationConfig, prepare_dataset

        config = PreparationConfig(
            pairs=pairs,
            output=output,
            rules=CleaningRules(
                min_seconds=min_seconds or None,
                max_seconds=max_seconds or None,
                min_tokens=min_tokens,
                max_tokens=max_tokens,
                unique_captions=not keep_duplicates,
                fragments=keep_fragments,
                split_sentences=split_sentences,
            ),
            seed=seed,
            min_count=min_count,
            extractor=checkpoint_path(extractor) if extractor else None,
            audio=audio,
            address=address,
            limit=limit,
            caption_column=caption_column,
        )
        card = prepare_dataset(config, shown_count("tracks", quiet=as_json))
    if as_json:
        typer.echo(json.dumps(card, indent=2))
        return
    for line in preparation_lines(card, output):
        typer.echo(line)
