"""`muscaps evaluate`: scores of captions, of a checkpoint or in a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.extras import require_extra
from jobs.outcomes import explained
from jobs.tables import print_table

if TYPE_CHECKING:
    from muscaps.evaluation.caption_metrics import CaptionScores
    from muscaps.evaluation.decoding_statistics import DecodingStatistics
    from muscaps.evaluation.sentence_similarity import SentenceSimilarity
    from muscaps.evaluation.split_evaluation import Evaluation


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
    """Add the command to the app."""
    app.command("evaluate")(evaluate)


def evaluate(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="Dataset made by `muscaps dataset prepare`; with --facts: captions (OUTPUT, Parquet, JSONL)."
        ),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Argument(help="Checkpoint directory, or bundled.")] = None,
    captions: Annotated[
        Path | None,
        typer.Option(help='Instead: a JSONL file of {"prediction": ..., "references": [...]} lines.'),
    ] = None,
    facts: Annotated[
        str | None,
        typer.Option(
            metavar="CATALOGUE",
            help="Compare captions with a catalogue's instruments, feel, genre and bpm instead.",
        ),
    ] = None,
    convention: Annotated[
        str,
        typer.Option(help="default: without special tokens; published: with <sos>, <eos>, <unk>."),
    ] = "default",
    tokenizer: Annotated[str, typer.Option(help="With --captions: ptb, or whitespace for tokenized text.")] = "ptb",
    split: Annotated[str, typer.Option(help="Split to measure: train, validation or test.")] = "test",
    beam_size: Annotated[list[int] | None, typer.Option(help="Beam size; can be repeated. Default: 1 and 5.")] = None,
    queries: Annotated[int, typer.Option(min=0, help="Number of captions sampled as search queries.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the sample of queries, or of the shuffles of --facts.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N tracks of the split.")] = None,
    training_captions: Annotated[
        Path | None,
        typer.Option(help="With --captions: text file, one training caption per line, to count novel captions."),
    ] = None,
    spice_corenlp: Annotated[
        Path | None, typer.Option(help="Folder with Stanford CoreNLP 3.6.0, for SPICE and SPIDEr.")
    ] = None,
    neural: Annotated[
        bool, typer.Option("--neural", help="Also sentence similarity, by an encoder that is installed as a package.")
    ] = False,
    model_dir: Annotated[
        Path | None, typer.Option(help="Sentence similarity by the sentence-transformers model in this folder instead.")
    ] = None,
    per_caption: Annotated[
        Path | None, typer.Option(help="Also write every caption's scores to this JSONL file.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; scores are 0 to 1 there.")] = False,
) -> None:
    """Score captions against references or against a catalogue.

    Metrics: BLEU, METEOR, ROUGE-L, CIDEr, SPICE, SPIDEr, retrieval and decoding statistics. With --facts: precision,
    recall and lift of the catalogue's facts in the captions.
    """
    with explained():
        if facts is not None:
            if dataset is None or checkpoint is not None or captions is not None:
                raise ValueError(
                    "--facts CATALOGUE needs CAPTIONS: an output, a Parquet file or a JSONL file, and no more"
                )
            from jobs.commands.facts_evaluation import evaluate_facts

            evaluate_facts(facts, dataset, seed=seed, as_json=as_json)
            return
        encoder = _encoder(neural, model_dir)
        if captions is not None:
            if dataset is not None or checkpoint is not None:
                raise ValueError("give either --captions FILE, or DATASET and CHECKPOINT, not both")
            require_extra("evaluate", "evaluate --captions")
            _evaluate_file(
                captions, convention, tokenizer, training_captions, spice_corenlp, encoder, per_caption, as_json
            )
            return
        if dataset is None or checkpoint is None:
            raise ValueError(
                "nothing to evaluate: give DATASET and CHECKPOINT, --captions FILE.jsonl, or --facts CATALOGUE CAPTIONS"
            )
        require_extra("evaluate", "evaluate")
        from muscaps.evaluation.split_evaluation import EvaluationOptions

        options = EvaluationOptions(
            split=split,
            beam_sizes=tuple(beam_size or (1, 5)),
            convention=_convention(convention),
            num_queries=queries,
            seed=seed,
            limit=limit,
        )
        _evaluate_checkpoint(Path(dataset), checkpoint, options, device, spice_corenlp, encoder, per_caption, as_json)


def _encoder(neural: bool, model_dir: Path | None) -> tuple[str, Any] | None:
    """Load the sentence encoder if it is asked for; its name and the function."""
    if not neural and model_dir is None:
        return None
    require_extra("evaluate-neural", "evaluate --neural")
    from muscaps.evaluation.sentence_similarity import load_encoder

    return load_encoder(model_dir)


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
    encoder: tuple[str, Any] | None,
    per_caption: Path | None,
    as_json: bool,
) -> None:
    from muscaps.evaluation.caption_files import read_captions
    from muscaps.evaluation.caption_metrics import score_captions
    from muscaps.evaluation.decoding_statistics import decoding_statistics
    from muscaps.evaluation.evaluation_json import scores_as_json

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
    similarity = _similarity(encoder, predictions, references)
    if as_json:
        typer.echo(json.dumps(scores_as_json(scores, statistics) | _similarity_json(similarity)))
        return
    _print_scores([("file", scores)])
    _print_statistics([("file", statistics)])
    _print_terms(scores)
    _print_similarity(similarity)


def _evaluate_checkpoint(
    dataset: Path,
    checkpoint: Path,
    options: Any,
    device: str,
    corenlp: Path | None,
    encoder: tuple[str, Any] | None,
    per_caption: Path | None,
    as_json: bool,
) -> None:
    from muscaps.captioner import Captioner
    from muscaps.evaluation.caption_metrics import CaptionScorer
    from muscaps.evaluation.evaluation_json import evaluation_as_json
    from muscaps.evaluation.split_evaluation import evaluate as measure
    from muscaps.training.dataset.reader import PreparedDataset

    with CaptionScorer(corenlp=corenlp) as scorer:
        evaluation = measure(Captioner.load(checkpoint, device), PreparedDataset(dataset), options, scorer)
    headline = evaluation.decoded[-1]
    if per_caption is not None:
        _write_per_caption(
            per_caption, headline.predictions, evaluation.references, headline.scores, evaluation.track_ids
        )
    similarity = _similarity(encoder, headline.predictions, evaluation.references)
    if as_json:
        typer.echo(json.dumps(evaluation_as_json(evaluation) | _similarity_json(similarity)))
        return
    typer.echo(f"{evaluation.model_id} on {len(evaluation.track_ids)} tracks of the {evaluation.split} split")
    names = ["greedy" if found.beam_size == 1 else f"beam {found.beam_size}" for found in evaluation.decoded]
    _print_scores(list(zip(names, (found.scores for found in evaluation.decoded), strict=True)))
    _print_statistics(list(zip(names, (found.statistics for found in evaluation.decoded), strict=True)))
    _print_retrieval(evaluation)
    _print_terms(headline.scores)
    _print_similarity(similarity)


def _similarity(
    encoder: tuple[str, Any] | None, predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> "SentenceSimilarity | None":
    if encoder is None:
        return None
    from muscaps.evaluation.sentence_similarity import sentence_similarity

    return sentence_similarity(predictions, references, *encoder)


def _similarity_json(found: "SentenceSimilarity | None") -> dict[str, Any]:
    return {} if found is None else {"sentence_similarity": found.mean, "sentence_encoder": found.encoder}


def _print_similarity(found: "SentenceSimilarity | None") -> None:
    if found is not None:
        typer.echo(f"sentence similarity x 100 (last row, {found.encoder}): {100 * found.mean:.1f}")


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


def _print_scores(rows: Sequence[tuple[str, "CaptionScores"]]) -> None:
    print_table(
        ["x 100", *LABELS.values()],
        [
            [name, *("-" if value is None else f"{100 * value:.1f}" for value in map(scores.corpus.get, LABELS))]
            for name, scores in rows
        ],
    )


def _print_statistics(rows: Sequence[tuple[str, "DecodingStatistics"]]) -> None:
    print_table(
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
    print_table(
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
