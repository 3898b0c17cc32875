"""The paper's experiments on a team's own dataset: Tables I to IV and Fig. 4 (section IV), in resumable cells.

A *cell* is one piece of work with a result on disk: an extractor pre-trained, features computed, or one system
trained with one seed and decoded. Cells that are done are not repeated; the others run in parallel on
Ray as far as there are resources. Captions are scored here, by one METEOR process, under both conventions.

OUTPUT holds `extractors/`, `cells/<system>-<seed>/` (checkpoint and `result.json`), `scores/` and, from
`pipeline.paper.report`, the tables and the figure. On a cluster every machine must see OUTPUT and DATASET.
"""

import logging
import time
from collections.abc import Sequence
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
    scores_path,
    write_json,
)
from pipeline.paper.cells import run_cell
from pipeline.paper.plan import CONVENTIONS, Cell, ExperimentConfig, plan_cells
from pipeline.paper.report import write_report

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExperimentSummary:
    """How an experiment went."""

    done: int
    """Cells done, now or before."""
    failed: dict[str, str] = field(default_factory=dict)
    """Cells that failed, and why."""
    seconds: float
    """Wall seconds of this call."""
    report: Path
    """The tables, as Markdown."""


def run_experiment(config: ExperimentConfig, *, on_ray: bool = True) -> ExperimentSummary:
    """Do every cell that is not done, score the captions, and write tables and figure.

    Args:
        config: The experiment; the same OUTPUT must always be given the same one.
        on_ray: Run cells in parallel; else one after the other in this process.

    Returns:
        What is done and what failed; a failed cell does not stop the others, and is tried again next time.

    Raises:
        ValueError: OUTPUT holds another experiment, or the dataset holds no audio.
    """
    began = time.monotonic()
    dataset = PreparedDataset(config.dataset)
    if not dataset.has_audio:
        raise ValueError(f"{dataset.directory} holds no audio; prepare it with audio")
    _claim(config, dataset)
    cells = plan_cells(config)
    if on_ray:
        with ray_session(config.address, num_cpus=config.num_cpus):
            failed = _run_on_ray(config, cells)
    else:
        failed = _run_in_turn(config, cells)
    score_cells(config)
    seconds = time.monotonic() - began
    add_seconds(config.output, seconds)
    report = write_report(config)
    done = sum(is_done(config, cell) for cell in cells)
    logger.info("experiment: %d of %d cells done in %.0f s", done, len(cells), seconds)
    return ExperimentSummary(done=done, failed=failed, seconds=seconds, report=report)


def _claim(config: ExperimentConfig, dataset: PreparedDataset) -> None:
    """Record which experiment OUTPUT holds, or check that it is the same one; seeds and systems may be added."""
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
        except Exception as error:  # other cells do not depend on it
            failed[cell.name] = _reason(error)
            logger.error("cell %s failed: %s", cell.name, failed[cell.name])
    return failed


def _run_on_ray(config: ExperimentConfig, cells: Sequence[Cell]) -> dict[str, str]:
    """Start every cell as soon as the cells it needs are done; Ray queues those for which there are no resources."""
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
        except Exception as error:  # the other cells continue, whatever the error
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
    """Score the captions of every cell that has no scores yet, under both conventions, with one METEOR process."""
    known = [text for example in PreparedDataset(config.dataset).split("train") for text in example.captions]
    with CaptionScorer() as scorer:
        for (system, seed), result in captioner_cells(config).items():
            path = scores_path(config, system, seed)
            if path.exists():
                continue
            scores: dict[str, Any] = {}
            for beam_size, predictions in result["predictions"].items():
                scores[beam_size] = {
                    convention: asdict(
                        scorer.score(predictions[convention], result["references"][convention], convention=convention)
                    )["corpus"]
                    for convention in CONVENTIONS
                }
                statistics = decoding_statistics(predictions["published"], training_captions=known)
                scores[beam_size]["statistics"] = asdict(statistics)
            write_json(path, scores)
