"""Audio-caption pairs for training: cleaning, split, vocabulary, cached audio and features, batches.

A prepared dataset is a directory. `dataset.json` says what was kept and why the rest was not,
`examples.parquet` holds one row a track, `vocabulary.txt` the words of the training captions. `audio.i16` holds
every track's samples (16 kHz mono int16, one after another) and `features.f16` every track's chunk features
(float16, row-major); both are memory-mapped, and each may be absent.

Conventions: a *pair* is what a team hands in, an *example* a pair that was kept; splits are `train`,
`validation` and `test`; whatever is drawn at random depends on a seed, an epoch and an example's place in the
dataset alone, never on how many workers share the work.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from muscaps.checkpoint import learned_weights
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.vocabulary import EOS, PAD, Vocabulary, tokenize

FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")
CARD, EXAMPLES, WORDS, AUDIO, FEATURES = (
    "dataset.json",
    "examples.parquet",
    "vocabulary.txt",
    "audio.i16",
    "features.f16",
)
CACHES = "features"
"""Folder of what is worked out from a dataset later: features by other extractors, log-mels."""
_SPLIT_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
_SPLIT_NAMES |= {"dev": "validation", "validation": "validation", "test": "test", "eval": "test"}

EXAMPLE_SCHEMA = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("captions", pa.list_(pa.string()), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("duration_s", pa.float64()),
        pa.field("audio_start", pa.int64(), nullable=False),
        pa.field("num_samples", pa.int64(), nullable=False),
        pa.field("feature_start", pa.int64(), nullable=False),
        pa.field("num_chunks", pa.int64(), nullable=False),
    ]
)


class DatasetError(ValueError):
    """Pairs or a prepared dataset that cannot be used; the message names what is wrong and where."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One track with its captions, as handed in."""

    track_id: str
    """Unique name of the track."""
    uri: str
    """Where its audio is."""
    captions: tuple[str, ...]
    """What people wrote about it; at least one."""
    tags: tuple[str, ...] = ()
    """Labels a tagger can learn; none for captions alone."""
    split: str | None = None
    """`train`, `validation` or `test`; None to be drawn."""
    duration_s: float | None = None
    """Length of the whole track in seconds; None while unknown."""


@dataclass(frozen=True, kw_only=True)
class CleaningRules:
    """Which pairs are unsuitable (paper section IV-A); None switches a bound off."""

    min_seconds: float | None = 30.0
    """Shortest track in seconds."""
    max_seconds: float | None = 360.0
    """Longest track in seconds."""
    min_tokens: int = 3
    """Shortest caption in tokens."""
    max_tokens: int = 22
    """Longest caption in tokens."""
    unique_captions: bool = True
    """Keep a caption only where it first appears."""

    def __post_init__(self) -> None:
        if self.min_seconds is not None and self.max_seconds is not None and self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds={self.min_seconds} exceeds max_seconds={self.max_seconds}")
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise ValueError(f"min_tokens={self.min_tokens} and max_tokens={self.max_tokens} leave no caption")


@dataclass(frozen=True, kw_only=True)
class CleaningReport:
    """What cleaning kept, and how much each rule dropped."""

    pairs: int
    """Tracks handed in."""
    captions: int
    """Captions handed in."""
    kept_pairs: int
    """Tracks kept."""
    kept_captions: int
    """Captions kept."""
    dropped_pairs: dict[str, int] = field(default_factory=dict)
    """Tracks dropped, by rule: `too_short`, `too_long`, `no_caption_left`, or why the audio failed."""
    dropped_captions: dict[str, int] = field(default_factory=dict)
    """Captions dropped from tracks of suitable length, by rule: `too_few_tokens`, `too_many_tokens`, `duplicate`."""


def clean(pairs: Sequence[Pair], rules: CleaningRules = CleaningRules()) -> tuple[list[Pair], CleaningReport]:
    """Drop unsuitable pairs (paper section IV-A) and count what each rule dropped.

    A track of unknown duration passes the duration rule. Of several captions the suitable ones stay. The paper
    leaves open whether every copy of a duplicated caption goes; here its first track keeps it.
    """
    kept: list[Pair] = []
    lost_pairs: Counter[str] = Counter()
    lost_captions: Counter[str] = Counter()
    seen: set[tuple[str, ...]] = set()
    for pair in pairs:
        if rules.min_seconds is not None and pair.duration_s is not None and pair.duration_s < rules.min_seconds:
            lost_pairs["too_short"] += 1
            continue
        if rules.max_seconds is not None and pair.duration_s is not None and pair.duration_s > rules.max_seconds:
            lost_pairs["too_long"] += 1
            continue
        captions = []
        for caption in pair.captions:
            tokens = tuple(tokenize(caption))
            if len(tokens) < rules.min_tokens:
                lost_captions["too_few_tokens"] += 1
            elif len(tokens) > rules.max_tokens:
                lost_captions["too_many_tokens"] += 1
            elif rules.unique_captions and tokens in seen:
                lost_captions["duplicate"] += 1
            else:
                seen.add(tokens)
                captions.append(caption)
        if captions:
            kept.append(replace(pair, captions=tuple(captions)))
        else:
            lost_pairs["no_caption_left"] += 1
    report = CleaningReport(
        pairs=len(pairs),
        captions=sum(len(pair.captions) for pair in pairs),
        kept_pairs=len(kept),
        kept_captions=sum(len(pair.captions) for pair in kept),
        dropped_pairs=dict(lost_pairs),
        dropped_captions=dict(lost_captions),
    )
    return kept, report


def split_name(name: str) -> str:
    """Return the usual name of a split: `val`, `valid` and `dev` are `validation`, `training` is `train`.

    Raises:
        DatasetError: The name is not a split's.
    """
    try:
        return _SPLIT_NAMES[name.strip().lower()]
    except KeyError:
        raise DatasetError(f"split {name!r} is none of {', '.join(SPLITS)}") from None


def assign_splits(pairs: Sequence[Pair], seed: int = 0, shares: tuple[float, float] = (0.6, 0.2)) -> list[Pair]:
    """Give every pair without a split one at random, 60/20/20 (paper section IV-A).

    Args:
        pairs: The cleaned pairs; one that names its split keeps it.
        seed: The same seed and pairs give the same split.
        shares: Of the training and the validation split; the rest is the test split.
    """
    open_pairs = [index for index, pair in enumerate(pairs) if pair.split is None]
    order = np.random.default_rng([seed, 0x5917]).permutation(len(open_pairs))
    bounds = np.round(np.cumsum(shares) * len(open_pairs)).astype(int)
    result = list(pairs)
    for rank, place in enumerate(order):
        index = open_pairs[int(place)]
        result[index] = replace(pairs[index], split=SPLITS[int(np.searchsorted(bounds, rank, side="right"))])
    return result


@dataclass(frozen=True, kw_only=True)
class Example:
    """A track of a prepared dataset."""

    index: int
    """Place in the dataset; seeds what is drawn for it."""
    track_id: str
    uri: str
    captions: tuple[str, ...]
    tags: tuple[str, ...]
    split: str
    duration_s: float | None
    audio_start: int
    """First sample in `audio.i16`; -1 if its audio is not cached."""
    num_samples: int
    feature_start: int
    """First row in `features.f16`; -1 if its features are not cached."""
    num_chunks: int


class DatasetWriter:
    """Writes a prepared dataset: data a track at a time, then the tables."""

    def __init__(self, directory: Path, *, feature_dim: int | None = None) -> None:
        """Start in an empty or new directory, or over an earlier dataset.

        Raises:
            DatasetError: The directory holds other things.
        """
        directory.mkdir(parents=True, exist_ok=True)
        ours = {CARD, EXAMPLES, WORDS, AUDIO, FEATURES, CACHES}
        strangers = sorted({path.name for path in directory.iterdir()} - ours)
        if strangers:
            raise DatasetError(f"{directory} holds other things ({strangers[0]}); name an empty or new folder")
        shutil.rmtree(directory / CACHES, ignore_errors=True)
        (directory / CARD).unlink(missing_ok=True)
        self._directory = directory
        self._feature_dim = feature_dim
        self._places: dict[str, dict[str, int]] = {}
        self._samples = self._chunks = 0
        self._audio: BinaryIO | None = None
        self._features: BinaryIO | None = None

    def store(self, track_id: str, *, audio: np.ndarray | None = None, features: np.ndarray | None = None) -> None:
        """Write a track's data, in any order; `finish` decides which tracks are kept.

        Args:
            track_id: The track.
            audio: Mono int16 samples at 16 kHz, (samples,).
            features: Chunk features, (chunks, feature).
        """
        place = {"audio_start": -1, "num_samples": 0, "feature_start": -1, "num_chunks": 0}
        if audio is not None:
            if self._audio is None:
                self._audio = (self._directory / AUDIO).open("wb")
            self._audio.write(np.ascontiguousarray(audio, dtype="<i2").tobytes())
            place |= {"audio_start": self._samples, "num_samples": len(audio)}
            self._samples += len(audio)
        if features is not None:
            if self._features is None:
                self._features = (self._directory / FEATURES).open("wb")
                self._feature_dim = features.shape[1]
            if features.shape[1] != self._feature_dim:
                raise DatasetError(f"{track_id!r}: features of width {features.shape[1]}, not {self._feature_dim}")
            self._features.write(np.ascontiguousarray(features, dtype="<f2").tobytes())
            place |= {"feature_start": self._chunks, "num_chunks": len(features)}
            self._chunks += len(features)
        self._places[track_id] = place

    def finish(
        self, pairs: Sequence[Pair], *, min_count: int = 2, card: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write the tables and the vocabulary of the training captions; return the dataset's card.

        Args:
            pairs: The tracks kept, in order; each must have its split, and data only if some was stored.
            min_count: Occurrences a word needs to enter the vocabulary.
            card: More to say about the dataset.

        Raises:
            DatasetError: No training caption is left, or a pair has no split.
        """
        for stream in (self._audio, self._features):
            if stream is not None:
                stream.close()
        none = {"audio_start": -1, "num_samples": 0, "feature_start": -1, "num_chunks": 0}
        rows: list[dict[str, Any]] = []
        for pair in pairs:
            if pair.split not in SPLITS:
                raise DatasetError(f"track {pair.track_id!r} has no split")
            row = {name: getattr(pair, name) for name in ("track_id", "uri", "split", "duration_s")}
            row |= {"captions": list(pair.captions), "tags": list(pair.tags)}
            rows.append(row | self._places.get(pair.track_id, none))
        captions = [tokenize(text) for row in rows if row["split"] == "train" for text in row["captions"]]
        if not captions:
            raise DatasetError(f"{self._directory}: no training pair is left; see what cleaning dropped")
        vocabulary = Vocabulary.from_captions(captions, min_count)
        vocabulary.save(self._directory / WORDS)
        pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA), self._directory / EXAMPLES)
        content = [[row["track_id"], row["captions"], row["tags"], row["split"], row["num_samples"]] for row in rows]
        whole = {
            "format_version": FORMAT_VERSION,
            "digest": hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest(),
            "examples": len(rows),
            "splits": dict(Counter(row["split"] for row in rows)),
            "vocabulary_size": len(vocabulary),
            "audio_seconds": round(sum(row["num_samples"] for row in rows) / 16_000, 3),
            "num_chunks": sum(row["num_chunks"] for row in rows),
            "feature_dim": self._feature_dim if self._chunks else None,
            **(card or {}),
        }
        # Written last: a directory without its card is an unfinished dataset.
        (self._directory / CARD).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        return whole


class PreparedDataset:
    """A prepared dataset, read from its directory; audio and features are memory-mapped."""

    def __init__(self, directory: Path | str) -> None:
        """Open a dataset.

        Raises:
            DatasetError: The directory holds no (finished, readable) prepared dataset.
        """
        self.directory = Path(directory)
        try:
            self.card: dict[str, Any] = json.loads((self.directory / CARD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DatasetError(
                f"{directory}: no prepared dataset (no {CARD}); make one with `muscaps dataset prepare PAIRS OUT`"
            ) from None
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self.directory / CARD}: not readable: {error}") from error
        if self.card.get("format_version") != FORMAT_VERSION:
            raise DatasetError(f"{self.directory / CARD}: format_version {self.card.get('format_version')!r} is not 1")
        rows = pq.read_table(self.directory / EXAMPLES, schema=EXAMPLE_SCHEMA, partitioning=None).to_pylist()
        self.examples = [
            Example(index=index, **{**row, "captions": tuple(row["captions"]), "tags": tuple(row["tags"])})
            for index, row in enumerate(rows)
        ]
        self.vocabulary = Vocabulary.load(self.directory / WORDS)
        self._audio: np.memmap | None = None
        self._features: np.ndarray | None = None

    @property
    def has_audio(self) -> bool:
        """True if the tracks' audio is cached."""
        return (self.directory / AUDIO).exists()

    @property
    def feature_dim(self) -> int | None:
        """Width of the cached chunk features; None without them."""
        return self.card.get("feature_dim")

    def split(self, name: str) -> list[Example]:
        """Return the examples of a split, in the dataset's order."""
        return [example for example in self.examples if example.split == name]

    def audio(self, example: Example) -> np.ndarray:
        """Return a track's samples, int16 at 16 kHz, (samples,), mapped from disk.

        Raises:
            DatasetError: Its audio is not cached.
        """
        if example.audio_start < 0:
            raise DatasetError(f"{self.directory}: no audio of {example.track_id!r}; prepare the dataset with audio")
        if self._audio is None:
            self._audio = np.memmap(self.directory / AUDIO, dtype="<i2", mode="r")
        return self._audio[example.audio_start : example.audio_start + example.num_samples]

    def features(self, example: Example) -> np.ndarray:
        """Return a track's chunk features, float16, (chunks, feature), mapped from disk.

        Raises:
            DatasetError: Its features are not cached.
        """
        if example.feature_start < 0 or self.feature_dim is None:
            raise DatasetError(
                f"{self.directory}: no features of {example.track_id!r}; prepare the dataset with --extractor"
            )
        if self._features is None:
            flat = np.memmap(self.directory / FEATURES, dtype="<f2", mode="r")
            self._features = flat.reshape(-1, self.feature_dim)
        return self._features[example.feature_start : example.feature_start + example.num_chunks]


@dataclass(frozen=True, kw_only=True)
class CaptionBatch:
    """Examples ready for a model, padded to the longest."""

    audio: Tensor
    """Chunk features, (batch, chunks, feature), or chunks of audio, (batch, chunks, samples); zeros on padding."""
    mask: Tensor
    """True where a chunk is real audio, (batch, chunks)."""
    word_ids: Tensor
    """Captions from `<sos>` to the last word, `<pad>` at the end, (batch, steps)."""
    targets: Tensor
    """The word after each, from the first word to `<eos>`, `<pad>` at the end, (batch, steps)."""

    def to(self, device: str) -> "CaptionBatch":
        """Move to a device."""
        return CaptionBatch(
            audio=self.audio.to(device),
            mask=self.mask.to(device),
            word_ids=self.word_ids.to(device),
            targets=self.targets.to(device),
        )


def collate(audio: Sequence[np.ndarray], captions: Sequence[Sequence[int]]) -> CaptionBatch:
    """Pad examples to a batch.

    Args:
        audio: One array an example, (chunks, feature) or (chunks, samples).
        captions: Ids from `<sos>` to `<eos>`, as `Vocabulary.encode` gives them.

    Raises:
        ValueError: The numbers of tracks and captions differ, or a track has no chunk.
    """
    if len(audio) != len(captions) or not audio:
        raise ValueError(f"a batch needs as many captions as tracks, not {len(captions)} for {len(audio)}")
    if min(len(track) for track in audio) < 1:
        raise ValueError("every track of a batch needs at least one chunk")
    longest = max(len(track) for track in audio)
    padded = np.zeros((len(audio), longest, audio[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(audio), longest), dtype=bool)
    for index, track in enumerate(audio):
        padded[index, : len(track)] = track
        mask[index, : len(track)] = True
    steps = max(len(caption) for caption in captions) - 1
    ids = np.full((len(captions), steps + 1), PAD, dtype=np.int64)
    for row, caption in zip(ids, captions, strict=True):
        row[: len(caption)] = caption
    targets = ids[:, 1:]
    inputs = np.where(ids[:, :-1] == EOS, PAD, ids[:, :-1])
    return CaptionBatch(
        audio=torch.from_numpy(padded),
        mask=torch.from_numpy(mask),
        word_ids=torch.from_numpy(inputs),
        targets=torch.from_numpy(targets.copy()),
    )


def random_excerpt(audio: np.ndarray, num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Cut a random excerpt; a shorter track is returned whole, a view either way."""
    offset = int(generator.integers(max(1, len(audio) - num_samples + 1)))
    return audio[offset : offset + num_samples]


def encoded_captions(examples: Iterable[Example], vocabulary: Vocabulary) -> list[list[list[int]]]:
    """Return every example's captions as ids from `<sos>` to `<eos>`."""
    return [[vocabulary.encode(tokenize(text)) for text in example.captions] for example in examples]


def extractor_digest(extractor: FeatureExtractor) -> str:
    """Return a digest of an extractor's learned weights: what tells whose features are cached."""
    digest = hashlib.sha256(type(extractor).__name__.encode())
    for name, value in sorted(learned_weights(extractor).items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


class FeatureCache:
    """Features of a dataset's tracks by one extractor, beside the dataset's own."""

    def __init__(self, dataset: PreparedDataset, digest: str, version: int = 0) -> None:
        """Name the cache; nothing is read yet.

        Args:
            dataset: The tracks.
            digest: Of the extractor, see `extractor_digest`.
            version: 0 for the tracks as they are; 1, 2, ... for disturbed copies of the training tracks.
        """
        self._own = version == 0 and dataset.card.get("extractor") == digest and dataset.feature_dim is not None
        self._dataset = dataset
        name = f"{digest}-disturbed-{version}" if version else digest
        self._rows_path = dataset.directory / CACHES / f"{name}.f16"
        self._index_path = dataset.directory / CACHES / f"{name}.json"
        self.examples = dataset.split("train") if version else dataset.examples
        self._rows: np.ndarray | None = None
        self._places: dict[int, tuple[int, int]] = {}

    @property
    def complete(self) -> bool:
        """True if the features of all its `examples` are there."""
        if self._own:
            return True
        try:
            self._open()
        except (OSError, ValueError):
            return False
        return all(example.index in self._places for example in self.examples)

    def _open(self) -> np.ndarray:
        if self._rows is None:
            index = json.loads(self._index_path.read_text(encoding="utf-8"))
            if index["dataset"] != self._dataset.card["digest"]:
                raise ValueError(f"{self._index_path}: features of another dataset")
            self._rows = np.memmap(self._rows_path, dtype="<f2", mode="r").reshape(-1, index["feature_dim"])
            self._places = {int(key): (start, count) for key, (start, count) in index["places"].items()}
        return self._rows

    def read(self, example: Example) -> np.ndarray:
        """Return a track's features, float16, (chunks, feature)."""
        if self._own:
            return self._dataset.features(example)
        rows = self._open()
        start, count = self._places[example.index]
        return rows[start : start + count]

    def write(self, tracks: Iterable[tuple[int, np.ndarray]]) -> None:
        """Store features, (chunks, feature), by example index, in any order; whole or not at all."""
        self._rows_path.parent.mkdir(exist_ok=True)
        beside = self._rows_path.with_suffix(".partial")
        places: dict[int, tuple[int, int]] = {}
        start, width = 0, 0
        with beside.open("wb") as stream:
            for index, features in tracks:
                stream.write(np.ascontiguousarray(features, dtype="<f2").tobytes())
                places[index] = (start, len(features))
                start, width = start + len(features), features.shape[1]
        beside.replace(self._rows_path)
        document = {"dataset": self._dataset.card["digest"], "feature_dim": width, "places": places}
        self._index_path.write_text(json.dumps(document), encoding="utf-8")
        self._rows = None
