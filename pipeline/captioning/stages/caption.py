"""The second stage: caption decoded tracks; see `rows` for what a batch holds."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from muscaps.config import DecodingOptions, Precision
from muscaps.tags import MUSIC, has_vocals, music_score, vocals_score
from pipeline.captioning.checkpoint_transfer import checkpoint_directory
from pipeline.captioning.memory import peak_bytes
from pipeline.captioning.rows import error_type_of, extend_rows, failure_values
from pipeline.output.schema import RESULT

if TYPE_CHECKING:
    from muscaps.caption import Caption
    from muscaps.captioner import Captioner
    from muscaps.tags import Tag

logger = logging.getLogger(__name__)

MIN_STORED_SCORE = 0.1
"""Tags below are not kept: of a hundred tags nine in ten are less probable."""


class CaptionTracks:
    """Captions batches of decoded tracks with a checkpoint that is loaded once."""

    def __init__(
        self,
        checkpoint: str | Mapping[str, bytes],
        options: DecodingOptions,
        *,
        use_gpu: bool = False,
        threads: int = 1,
        precision: Precision = "float32",
        save_features: bool = False,
        min_tag_score: float = MIN_STORED_SCORE,
        load: "Callable[[str, str, Precision], Captioner] | None" = None,
    ) -> None:
        """Load the checkpoint.

        Args:
            checkpoint: Its directory, or its files by name where that directory is not on this machine.
            options: Beam search options.
            use_gpu: Use the GPU that Ray assigned; without CUDA the CPU is used.
            threads: CPU threads; one thread each in as many actors as cores was measured fastest.
            precision: Arithmetic of the audio network.
            save_features: Whether to return the chunk features.
            min_tag_score: Lowest score of a tag that is returned.
            load: Makes a captioner of a directory, a device and a precision; tests replace `Captioner.load` with it.
        """
        import torch  # in the workers only

        from muscaps.captioner import Captioner  # imports torch

        torch.set_num_threads(threads)
        device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        self._options, self._save_features, self._min_tag_score = options, save_features, min_tag_score
        with checkpoint_directory(checkpoint) as directory:
            self._captioner = (load or Captioner.load)(directory, device, precision)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Caption the tracks that have PCM; a track that cannot be captioned fails alone.

        Args:
            batch: Rows from `fetch_and_decode`.

        Returns:
            The same rows in the same order without `pcm`, with `RESULT` filled in.
        """
        pcm = batch["pcm"]
        waveforms = {
            index: np.frombuffer(pcm[index].as_buffer(), dtype="<i2")
            for index in range(batch.num_rows)
            if pcm[index].is_valid
        }
        values = self._captioned(waveforms)
        rows = [values.get(index, {}) for index in range(batch.num_rows)]
        for row, share_kept in zip(rows, batch["share_kept"].to_pylist(), strict=True):
            _scale_segments(row, share_kept)
        return extend_rows(batch.drop_columns(["pcm"]), RESULT, rows)

    def _captioned(self, waveforms: Mapping[int, np.ndarray]) -> dict[int, dict[str, Any]]:
        """Caption a batch, or, if that fails, one track after the other."""
        if not waveforms:
            return {}
        try:
            return dict(zip(waveforms, self._caption_all(list(waveforms.values())), strict=True))
        except Exception as error:
            if _is_fatal(error):
                raise
            if len(waveforms) == 1:
                [index] = waveforms
                return {index: failure_values("caption", error_type_of(error), error, isinstance(error, MemoryError))}
            logger.warning("a batch of %d tracks failed; captioning them one by one", len(waveforms), exc_info=True)
        return {
            index: found
            for index, waveform in waveforms.items()
            for found in self._captioned({index: waveform}).values()
        }

    def _caption_all(self, waveforms: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Compute features, then captions, of several tracks; the time for features is divided by chunks."""
        started = time.perf_counter()
        features = self._captioner.features(waveforms)
        between = time.perf_counter()
        captions = self._captioner.caption_features(features, self._options)
        tags = self._captioner.tags(features) if self._captioner.tagger is not None else [None] * len(features)
        ended = time.perf_counter()
        chunks, peak = sum(len(track) for track in features), peak_bytes()
        return [
            {
                **_caption_values(caption),
                **_tag_values(caption, scored, self._min_tag_score),
                "created_at": datetime.now(UTC),
                "num_chunks": len(track),
                "features": track.astype("<f2").tobytes() if self._save_features else None,
                "feature_dim": track.shape[1] if self._save_features else None,
                "feature_seconds": (between - started) * len(track) / chunks,
                "search_seconds": (ended - between) / len(features),
                "caption_peak_bytes": peak,
            }
            for caption, track, scored in zip(captions, features, tags, strict=True)
        ]


def _tag_values(caption: "Caption", tags: "Sequence[Tag] | None", min_score: float) -> dict[str, Any]:
    """Tags, vocals and the evidence for the caption's claims; null without tag heads, empty where there is none."""
    if tags is None:
        return {}
    vocals = vocals_score(tags)
    stored = [tag for tag in tags if tag.score >= min_score and (tag.facet, tag.tag) != MUSIC]
    return {
        "tags": [{"facet": tag.facet, "tag": tag.tag, "score": tag.score} for tag in stored],
        "has_vocals": has_vocals(vocals),
        "vocals_score": vocals,
        "music_score": music_score(tags),
        "evidence": [{"word": one.word, "tag": one.tag, "score": one.score} for one in caption.evidence],
    }


def _caption_values(caption: "Caption") -> dict[str, Any]:
    """The columns of a caption."""
    return {
        "caption": caption.text,
        "log_prob": float(caption.log_prob),
        "alternatives": [{"caption": other.text, "log_prob": float(other.log_prob)} for other in caption.alternatives]
        or None,
        "segments": [
            {
                "start_s": segment.start_s,
                "end_s": segment.end_s,
                "caption": segment.text,
                "log_prob": float(segment.log_prob),
            }
            for segment in caption.segments
        ]
        or None,
        "attention": None if caption.attention is None else caption.attention.tolist(),
        "embedding": None if caption.embedding is None else caption.embedding.astype(np.float16).astype(np.float32),
    }


def _scale_segments(values: dict[str, Any], share_kept: float | None) -> None:
    """Scale segment times to the whole track when only evenly spaced chunks of it were kept."""
    if values.get("segments") and share_kept is not None and 0 < share_kept < 1:
        for segment in values["segments"]:
            segment["start_s"] = round(segment["start_s"] / share_kept, 3)
            segment["end_s"] = round(segment["end_s"] / share_kept, 3)


def _is_fatal(error: Exception) -> bool:
    """Whether only a restart of the process helps, as after an error that leaves the GPU unusable."""
    import torch

    return "CUDA error" in str(error) and not isinstance(error, torch.cuda.OutOfMemoryError)
