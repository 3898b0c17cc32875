"""A corpus rendered on Ray Data: shards of clips in parallel, each committed by its list of rows.

Conventions: a shard is the clips [start, stop). Its audio files go out first and `rows/START-STOP.jsonl` last, so a
shard whose rows exist is complete and a second run skips it. `settings.json` is written first and says what the clips
are, `pairs.parquet` and `corpus.json` at the end.
"""

import contextlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from muscaps.corpus.clip import Clip, ClipSpec
from muscaps.corpus.isolation import IsolatedRenderer, RenderError
from pipeline import storage
from pipeline.cluster.session import ray_session
from pipeline.output.claims import claim

ROWS = "rows"
PAIRS = "pairs.parquet"
SETTINGS = "settings.json"
SUMMARY = "corpus.json"
FAILURES = "failures.jsonl"

PART_TYPE = pa.struct(
    [
        pa.field("instrument", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("pattern", pa.string(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
        pa.field("audible", pa.bool_(), nullable=False),
        pa.field("num_notes", pa.int32(), nullable=False),
        pa.field("mean_note_s", pa.float64(), nullable=False),
        pa.field("mean_pitch", pa.float64(), nullable=False),
        pa.field("voices", pa.float64(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
    ]
)
"""`muscaps.corpus.truth.PartFacts` as a row."""

PAIRS_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("captions", pa.list_(pa.string()), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("families", pa.list_(pa.string()), nullable=False),
        pa.field("instruments", pa.list_(pa.string()), nullable=False),
        pa.field("style", pa.string(), nullable=False),
        pa.field("bpm", pa.float64(), nullable=False),
        pa.field("tempo", pa.string(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("energy", pa.string(), nullable=False),
        pa.field("mood", pa.string(), nullable=False),
        pa.field("feels", pa.list_(pa.string()), nullable=False),
        pa.field("solo", pa.bool_(), nullable=False),
        pa.field("drum_hits", pa.int32(), nullable=False),
        pa.field("register", pa.string(), nullable=False),
        pa.field("nouns", pa.list_(pa.string()), nullable=False),
        pa.field("parts", pa.list_(PART_TYPE), nullable=False),
        pa.field("beats_per_bar", pa.int32(), nullable=False),
        pa.field("swing", pa.float64(), nullable=False),
        pa.field("density", pa.float64(), nullable=False),
        pa.field("staccato", pa.float64(), nullable=False),
        pa.field("electronic", pa.bool_(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
        pa.field("soundfont", pa.string(), nullable=False),
    ]
)
"""A rendered clip: audio, sentences and facts. `uri` is relative to the table; `captions` starts with `caption`."""


@dataclass(frozen=True, kw_only=True)
class RenderingConfig:
    """What to render, and with how many processes."""

    output: str
    """URI of the corpus's folder."""
    num_clips: int = 8000
    clip: ClipSpec
    """Settings of every clip; its index is replaced."""
    num_workers: int = 1
    shard_clips: int = 20
    """Clips committed together: some seconds' work."""
    time_limit_s: float = 20.0
    """For one clip."""

    def __post_init__(self) -> None:
        for name in ("num_clips", "num_workers", "shard_clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class RenderingSummary:
    """What a run did and what the corpus now holds."""

    num_clips: int
    rendered: int
    """By this run."""
    failed: int
    clips_per_s: float
    splits: dict[str, int]
    tags: dict[str, float]
    """Share of clips with each tag."""


def _flac(clip: Clip) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, clip.pcm, clip.sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


class ShardRenderer:
    """Render shards; a stage for Ray Data, and usable without it."""

    def __init__(self, config: RenderingConfig) -> None:
        self.config = config
        self.renderer = IsolatedRenderer(time_limit_s=config.time_limit_s)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Render each shard of a batch and commit it.

        Args:
            batch: `start` and `stop`, (shards,).

        Returns:
            The same with `rendered` and `failed`, (shards,).
        """
        counts = [self.render(int(a), int(b)) for a, b in zip(batch["start"], batch["stop"], strict=True)]
        return {
            **batch,
            "rendered": np.array([rendered for rendered, _ in counts]),
            "failed": np.array([failed for _, failed in counts]),
        }

    def close(self) -> None:
        """End the rendering process."""
        self.renderer.close()

    def render(self, start: int, stop: int) -> tuple[int, int]:
        """Render the clips [start, stop); returns how many succeeded and failed."""
        lines = []
        failed = 0
        for index in range(start, stop):
            try:
                clip = self.renderer.render(replace(self.config.clip, index=index))
            except RenderError as error:
                failed += 1
                lines.append(json.dumps({"index": index, "error_type": error.error_type, "message": str(error)}))
                continue
            name = f"audio/{start // 1000:03d}/{clip.clip_id}.flac"
            storage.write_once(storage.join(self.config.output, name), _flac(clip))
            lines.append(json.dumps({"uri": name, **clip.row}))
        storage.write_once(shard_uri(self.config.output, start, stop), ("\n".join(lines) + "\n").encode())
        return stop - start - failed, failed


def shard_uri(output: str, start: int, stop: int) -> str:
    """Where a shard's rows go."""
    return storage.join(output, f"{ROWS}/{start:07d}-{stop:07d}.jsonl")


def shards_to_do(config: RenderingConfig) -> list[tuple[int, int]]:
    """Shards whose rows are not there yet, as (start, stop)."""
    edges = range(0, config.num_clips, config.shard_clips)
    shards = [(start, min(start + config.shard_clips, config.num_clips)) for start in edges]
    return [(a, b) for a, b in shards if not storage.exists(shard_uri(config.output, a, b))]


OnProgress = Callable[[int, int], None]
"""Called with how many of this run's clips are done, failed ones included, and how many it has."""


def render_corpus(config: RenderingConfig, on_progress: OnProgress | None = None) -> RenderingSummary:
    """Render what is missing of a corpus and write its tables.

    Raises:
        ValueError: No clip could be rendered, or the folder holds a corpus of other settings.
        pipeline.storage.StorageError: The output cannot be written.
    """
    claim(config.output, SETTINGS, "corpus", _settings(config))  # the number of clips may change
    todo = shards_to_do(config)
    total = sum(stop - start for start, stop in todo)
    began = time.monotonic()
    rendered = failed = 0
    for done, lost in _rendered(config, todo):
        rendered, failed = rendered + done, failed + lost
        if on_progress is not None:
            on_progress(rendered + failed, total)
    elapsed_s = max(1e-6, time.monotonic() - began)
    return write_tables(config, rendered=rendered, failed=failed, clips_per_s=rendered / elapsed_s)


def _rendered(config: RenderingConfig, todo: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Render shards, one here or several on Ray Data; yield how many clips of each succeeded and failed."""
    if config.num_workers == 1 or not todo:
        with contextlib.closing(ShardRenderer(config)) as stage:
            for start, stop in todo:
                yield stage.render(start, stop)
        return
    with ray_session(num_cpus=config.num_workers):
        import ray.data

        shards = ray.data.from_items([{"start": a, "stop": b} for a, b in todo], override_num_blocks=len(todo))
        counts = shards.map_batches(
            ShardRenderer,
            fn_constructor_args=(replace(config, output=storage.absolute(config.output)),),  # workers' folder differs
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=min(config.num_workers, len(todo))),
        )
        batch: Any  # a dict of arrays, as asked for
        for batch in counts.iter_batches(batch_size=None, batch_format="numpy"):
            yield int(batch["rendered"].sum()), int(batch["failed"].sum())


def _settings(config: RenderingConfig) -> dict[str, Any]:
    """What the clips depend on, without the folders of this machine."""
    settings = asdict(config.clip)
    settings["scores"] = sorted({"/".join(Path(path).parts[-2:]) for path in config.clip.scores})
    settings["soundfonts"] = [Path(path).name for path in config.clip.soundfonts]
    settings.pop("index")
    settings.pop("licences")
    return settings


def _rows(config: RenderingConfig) -> Iterator[dict[str, Any]]:
    edges = range(0, config.num_clips, config.shard_clips)
    for start in edges:
        uri = shard_uri(config.output, start, min(start + config.shard_clips, config.num_clips))
        if storage.exists(uri):
            for line in storage.read_bytes(uri).decode().splitlines():
                yield json.loads(line)


def write_tables(config: RenderingConfig, *, rendered: int, failed: int, clips_per_s: float) -> RenderingSummary:
    """Join the shards' rows into `pairs.parquet`, `failures.jsonl` and `corpus.json`.

    Raises:
        ValueError: There is not one clip.
    """
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for row in _rows(config):
        (failures if "error_type" in row else rows).append(row)
    if not rows:
        raise ValueError(f"no clip of {config.output} could be rendered; see {FAILURES} there")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIRS_SCHEMA), buffer)
    storage.write_once(storage.join(config.output, PAIRS), buffer.getvalue())
    text = "".join(json.dumps(failure) + "\n" for failure in failures)
    storage.write_once(storage.join(config.output, FAILURES), text.encode())
    tags = Counter(tag for row in rows for tag in row["tags"])
    summary = RenderingSummary(
        num_clips=len(rows),
        rendered=rendered,
        failed=failed,
        clips_per_s=round(clips_per_s, 3),
        splits=dict(Counter(str(row["split"]) for row in rows)),
        tags={tag: round(count / len(rows), 4) for tag, count in tags.most_common()},
    )
    document = {**asdict(summary), "settings": _settings(config)}
    storage.write_once(storage.join(config.output, SUMMARY), json.dumps(document, indent=2).encode())
    return summary


def licences_of(scores: Sequence[Path], folders: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """Licences of the scores as far as the folders' manifests know them."""
    from muscaps.corpus.scores import read_licences

    known: dict[str, str] = {}
    for folder in folders:
        known.update(read_licences(folder))
    return tuple((str(path), known[str(path)]) for path in scores if str(path) in known)
