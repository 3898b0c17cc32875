"""The paper's experiments on a team's own dataset: Tables I to IV and Fig. 4 (section IV), in resumable cells.

A *cell* is a piece of work with a result on disk: pre-training an extractor, computing features, or training and
decoding a system with one seed. Finished cells are not repeated. The others run in parallel on Ray, as many as the
resources allow. Captions are scored in this process, with one METEOR process, under both conventions and against facts.

OUTPUT has `extractors/`, `cells/<system>-<seed>/` (checkpoint and `result.json`), `scores/` and, from
`pipeline.paper.report`, the tables and the figure. On a cluster, OUTPUT and DATASET must be on a shared file system.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from muscaps.evaluation.caption_metrics import CaptionScorer
from muscaps.evaluation.decoding_statistics import decoding_statistics
from muscaps.training.dataset.reader import PreparedDataset
from pipeline.cluster.session import ray_session
from pipeline.output.claims import claim
from pipeline.paper.cell_results import (
    SETTINGS,
    add_seconds,
    captioner_cells,
    is_done,
    read_result,
    scores_path,
    write_json,
)
from pipeline.paper.cells import run_cell
from pipeline.paper.plan import CONVENTIONS, Cell, ExperimentConfig, plan_cells
from pipeline.paper.report import write_report
from pipeline.paper.track_facts import TrackFacts
from pipeline.threads import torch_threads

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExperimentSummary:
    """The result of an experiment."""

    done: int
    """Number of finished cells, from this call or earlier ones."""
    failed: dict[str, str] = field(default_factory=dict)
    """Failed cells and their errors."""
    seconds: float
    """Duration of this call in seconds."""
    report: Path
    """Path of the tables, as Markdown."""


def run_experiment(config: ExperimentConfig, *, on_ray: bool = True) -> ExperimentSummary:
    """Run all unfinished cells, score the captions, and write tables and figure.

    Args:
        config: The experiment; all calls with the same OUTPUT need the same settings.
        on_ray: Run cells in parallel on Ray, unless `num_cpus` is 1; otherwise one after another in this process.

    Returns:
        The finished and the failed cells. A failed cell does not stop the others; the next call runs it again.

    Raises:
        ValueError: OUTPUT has another experiment, or the dataset has no audio.
    """
    began = time.monotonic()
    dataset = PreparedDataset(config.dataset)
    if not dataset.has_audio:
        raise ValueError(f"{dataset.directory} has no audio; prepare it with audio")
    _claim(config, dataset)
    cells = plan_cells(config)
    if on_ray and (config.address is not None or config.num_cpus != 1):
        with ray_session(config.address, num_cpus=config.num_cpus):
            failed = _run_on_ray(config, cells)
    else:
        with torch_threads(config.num_cpus or torch.get_num_threads()):
            failed = _run_in_turn(config, cells)
    score_cells(config)
    seconds = time.monotonic() - began
    add_seconds(config.output, seconds)
    report = write_report(config)
    done = sum(is_done(config, cell) for cell in cells)
    logger.info("experiment: %d of %d cells done in %.0f s", done, len(cells), seconds)
    return ExperimentSummary(done=done, failed=failed, seconds=seconds, report=report)


def _claim(config: ExperimentConfig, dataset: PreparedDataset) -> None:
    """Record the settings of the experiment in OUTPUT, or check them; seeds and systems may be added."""
    settings = asdict(config) | {"dataset_digest": dataset.card["digest"]}
    for name in ("output", "dataset", "systems", "seeds", "address", "num_cpus"):
        settings.pop(name)
    claim(config.output, SETTINGS, "experiment", settings)


def _run_in_turn(config: ExperimentConfig, cells: Sequence[Cell]) -> dict[str, str]:
    failed: dict[str, str] = {}
    for cell in cells:
        if is_done(config, cell):
            continue
        missing = [name for name in cell.needs if name in failed]
        if missing:
            failed[cell.name] = f"needs {missing[0]}, which failed"
            continue
        try:
            run_cell(config, cell)
        except Exception as error:  # the other cells continue after any error
            failed[cell.name] = _reason(error)
            logger.error("cell %s failed: %s", cell.name, failed[cell.name])
    return failed


def _run_on_ray(config: ExperimentConfig, cells: Sequence[Cell]) -> dict[str, str]:
    """Start every cell as soon as the cells that it needs are done; Ray queues cells until resources are free."""
    import ray

    gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    task = ray.remote(num_cpus=1, num_gpus=0.25 if gpus else 0, max_retries=2)(_run_cell_in_worker)
    waiting = [cell for cell in cells if not is_done(config, cell)]
    done = {cell.name for cell in cells if is_done(config, cell)}
    running: dict[Any, Cell] = {}
    failed: dict[str, str] = {}
    while waiting or running:
        for cell in list(waiting):
            missing = [name for name in cell.needs if name in failed]
            if missing:
                failed[cell.name] = f"needs {missing[0]}, which failed"
                waiting.remove(cell)
            elif done.issuperset(cell.needs):
                running[task.remote(config, cell)] = cell
                waiting.remove(cell)
        if not running:
            continue
        [ready], _ = ray.wait(list(running), num_returns=1)
        cell = running.pop(ready)
        try:
            logger.info("cell %s done in %.0f s", cell.name, ray.get(ready))
            done.add(cell.name)
        except Exception as error:  # the other cells continue after any error
            failed[cell.name] = _reason(error)
            logger.error("cell %s failed: %s", cell.name, failed[cell.name])
    return failed


def _reason(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]


def _run_cell_in_worker(config: ExperimentConfig, cell: Cell) -> float:
    torch.set_num_threads(1)
    began = time.monotonic()
    run_cell(config, cell)
    return time.monotonic() - began


def score_cells(config: ExperimentConfig) -> None:
    """Score the captions of every cell without scores, under both conventions, with one METEOR process."""
    known = [text for example in PreparedDataset(config.dataset).split("train") for text in example.captions]
    facts = TrackFacts(config.facts)
    with CaptionScorer() as scorer:
        for cell in captioner_cells(config).values():
            path = scores_path(config, cell)
            if path.exists():
                continue
            result = read_result(config, cell)
            subsets = facts.subsets(result["track_ids"])
            write_json(path, {name: _scores(result, rows, scorer, facts, known) for name, rows in subsets.items()})


def _scores(
    result: Mapping[str, Any], rows: Sequence[int], scorer: CaptionScorer, facts: TrackFacts, known: Sequence[str]
) -> dict[str, Any]:
    """Score the captions of some test tracks, by beam size."""

    def chosen(values: Sequence[Any]) -> list[Any]:
        return [values[row] for row in rows]

    scores: dict[str, Any] = {}
    for beam_size, predictions in result["predictions"].items():
        scores[beam_size] = {
            convention: scorer.score(
                chosen(predictions[convention]), chosen(result["references"][convention]), convention=convention
            ).corpus
            for convention in CONVENTIONS
        }
        statistics = decoding_statistics(chosen(predictions["published"]), training_captions=known)
        scores[beam_size]["statistics"] = asdict(statistics)
        scores[beam_size]["facts"] = facts.scores(chosen(result["track_ids"]), chosen(predictions["default"]))
    return scores
