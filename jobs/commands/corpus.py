"""Commands that make training data: `muscaps corpus render` and `muscaps corpus describe`."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.extras import require_extra
from jobs.outcomes import FAILED_TRACKS, explained, resumable
from jobs.progress import shown_count


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    group = typer.Typer(help="Render music from scores, with true captions and tags.", no_args_is_help=True)
    group.command("render")(render)
    group.command("describe")(describe)
    app.add_typer(group, name="corpus")


def render(
    out: Annotated[str, typer.Argument(help="Folder or s3:// URI for the corpus.")],
    scores: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder of MIDI or MusicXML files; can be repeated.")
    ] = None,
    num_clips: Annotated[int, typer.Option(metavar="N", help="Number of clips.")] = 8000,
    seconds: Annotated[float, typer.Option(metavar="S", help="Length of a clip.")] = 12.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same clips.")] = 0,
    soundfont: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="SF2 or SF3 file; can be repeated. Default: installed ones."),
    ] = None,
    num_workers: Annotated[int, typer.Option(metavar="N", help="Processes; with more than one, on Ray Data.")] = 1,
    time_limit_s: Annotated[float, typer.Option(metavar="S", help="Time limit per clip.")] = 20.0,
) -> None:
    """Render clips with captions and tags into OUT.

    The same command continues an interrupted run.
    """
    from muscaps.corpus.clip import ClipSpec
    from muscaps.corpus.scores import find_scores
    from muscaps.corpus.soundfont import find_soundfonts
    from pipeline.storage import join
    from pipeline.training.rendering import PAIRS, RenderingConfig, licences_of, render_corpus

    with explained(), resumable():
        require_extra("corpus", "corpus render")
        folders = [folder.resolve() for folder in scores or []]
        files = find_scores(folders)
        if folders and not files:
            raise ValueError(f"no MIDI or MusicXML files in {', '.join(map(str, folders))}")
        fonts = soundfont or find_soundfonts()
        for font in fonts:
            if not font.is_file():
                raise ValueError(f"no soundfont at {font}")
        if not fonts:
            raise ValueError(
                "no soundfont is installed; install fluid-soundfont-gm or musescore-general-soundfont-small, "
                "or name a file with --soundfont"
            )
        config = RenderingConfig(
            output=out,
            num_clips=num_clips,
            clip=ClipSpec(
                index=0,
                seed=seed,
                seconds=seconds,
                soundfonts=tuple(str(font.resolve()) for font in fonts),
                scores=tuple(map(str, files)),
                licences=licences_of(files, folders),
            ),
            num_workers=num_workers,
            time_limit_s=time_limit_s,
        )
        summary = render_corpus(config, shown_count("clips"))
    typer.echo(
        f"{summary.num_clips} clips ({summary.rendered} rendered now at {summary.clips_per_s:.1f} a second, "
        f"{summary.failed} failed): {join(out, PAIRS)}"
    )
    if summary.failed:
        raise typer.Exit(FAILED_TRACKS)


def describe(
    source: Annotated[
        str,
        typer.Argument(help="Catalogue with facts (instruments, feel, genre, bpm), or pairs.parquet of a corpus."),
    ],
    out: Annotated[str, typer.Argument(help="Parquet file for the pairs.")],
    num_captions: Annotated[int, typer.Option(help="Captions per track at most.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same captions.")] = 0,
) -> None:
    """Write captions from the facts of SOURCE.

    OUT is a table for `muscaps dataset prepare`.
    """
    from pipeline.training.description import DescriptionConfig, describe_tracks

    with explained():
        summary = describe_tracks(DescriptionConfig(source=source, output=out, num_captions=num_captions, seed=seed))
    statistics = summary.statistics
    typer.echo(
        f"{summary.described} tracks, {statistics.num_captions} captions of {statistics.words_per_caption:.1f} words, "
        f"{statistics.vocabulary_size} different words; {summary.too_few_facts} tracks have too few facts: {out}"
    )
