"""The plain program, with which the job is compared: the method of the published program."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from muscaps.config import AudioConfig, DecodingOptions
from pipeline.bench.config import BenchmarkConfig
from pipeline.captioning import stages
from pipeline.captioning.rows import input_rows
from pipeline.catalogue import Catalogue
from pipeline.threads import torch_threads

if TYPE_CHECKING:
    from muscaps.models.caption_model import CaptionNetwork, EncodedAudio


class PlainProgram:
    """Captions one track at a time and encodes the audio again for every word, as the published program does.

    For every word and every hypothesis, the audio network processes all chunks of the track. The weights are those of
    the job; no layers are folded or rearranged, and no results are cached.
    """

    def __init__(self, model: "CaptionNetwork") -> None:
        """Create the program with a model as loaded from its checkpoint."""
        self._model = model.eval()
        self.num_passes = 0
        """Passes of the audio network over the track, one per hypothesis and word."""

    def _encode(self, chunks: Any, num_hypotheses: int, features: Any) -> "EncodedAudio":
        """Encode one copy of the track per hypothesis; `features`, if given, replace the audio network's."""
        import torch  # takes seconds

        self.num_passes += num_hypotheses
        if features is None:
            repeated = chunks.repeat(num_hypotheses, 1)
            features = self._model.feature_extractor(repeated).view(num_hypotheses, len(chunks), -1)
        else:
            features = features.expand(num_hypotheses, -1, -1)
        return self._model.encode(features, torch.ones(features.shape[:2], dtype=torch.bool))

    def caption(
        self, chunks: Any, options: DecodingOptions, *, max_words: int | None = None, features: Any = None
    ) -> tuple[list[int], float]:
        """Search a caption for one track.

        Args:
            chunks: Audio, (chunks, samples).
            options: Beam size and longest caption.
            max_words: Words after which to stop, for timing a part of the work.
            features: Output of the audio network for the chunks, (chunks, feature). If given, the network is not run,
                and its passes are only counted.

        Returns:
            The words of the best hypothesis and its log-probability; the best unfinished one if none finished.
        """
        import torch  # takes seconds

        from muscaps.vocabulary import EOS, SOS

        live: list[tuple[list[int], float]] = [([SOS], 0.0)]
        finished: list[tuple[list[int], float]] = []
        state = None
        with torch.inference_mode():
            for _ in range(max_words or options.max_words):
                encoded = self._encode(chunks, len(live), features)
                state = self._model.start(encoded) if state is None else state
                last_words = torch.tensor([words[-1] for words, _ in live])
                log_probs, state = self._model.step(encoded, state, last_words)
                scores = log_probs.double() + torch.tensor([score for _, score in live], dtype=torch.float64)[:, None]
                best = _best(scores, options.beam_size - len(finished))
                finished += [(live[row][0], score) for row, word, score in best if word == EOS]
                best = [(row, word, score) for row, word, score in best if word != EOS]
                live = [([*live[row][0], word], score) for row, word, score in best]
                if not live:
                    break
                state = state.select(torch.tensor([row for row, _, _ in best]))
        words, score = max(finished or live, key=lambda hypothesis: hypothesis[1])
        return words[1:], score


def _best(scores: Any, count: int) -> list[tuple[int, int, float]]:
    """Return the `count` best of the scores, (hypotheses, vocab), as (hypothesis, word, score)."""
    top = scores.flatten().topk(min(count, scores.numel()))
    return [
        (index // scores.shape[1], index % scores.shape[1], score)
        for score, index in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    ]


def time_reference(config: BenchmarkConfig, catalogue: Catalogue, directory: Path) -> dict[str, Any]:
    """Time the plain program on a few words of one track, on all cores, and estimate the time of the whole caption.

    Raises:
        ValueError: No track can be decoded.
    """
    import torch  # takes seconds

    from muscaps.audio import to_chunks  # imports torch
    from muscaps.checkpoint import load_checkpoint

    loaded = load_checkpoint(directory)
    audio, num_threads = loaded.audio_config, len(os.sched_getaffinity(0))
    row = _first_decoded(config, catalogue, audio)
    pcm = np.frombuffer(row["pcm"][0].as_buffer(), dtype="<i2")
    chunks = torch.from_numpy(to_chunks(pcm, audio.chunk_samples).astype(np.float32) / 32768)
    decode_seconds = row["fetch_seconds"][0].as_py() + row["decode_seconds"][0].as_py()
    with torch_threads(num_threads), torch.inference_mode():
        features = torch.cat([loaded.model.eval().feature_extractor(part) for part in torch.split(chunks, 4)])
        whole = PlainProgram(loaded.model)
        words, _ = whole.caption(chunks, config.options, features=features)
        timed = PlainProgram(loaded.model)
        started = time.perf_counter()
        timed.caption(chunks, config.options, max_words=config.reference_words)
        seconds = time.perf_counter() - started
    per_pass = seconds / timed.num_passes
    return {
        "method": (
            f"one track of {len(chunks)} chunks; its first {config.reference_words} words are timed, the time of the "
            "others is estimated from the number of passes, counted by an untimed search over cached features"
        ),
        "num_threads": num_threads,
        # The whole track, as in the job's figures: both process the same chunks of it.
        "audio_seconds": round(row["decoded_duration_s"][0].as_py(), 1),
        "num_chunks": len(chunks),
        "num_words": len(words),
        "num_passes": whole.num_passes,
        "num_timed_passes": timed.num_passes,
        "timed_seconds": round(seconds, 2),
        "seconds_per_pass": round(per_pass, 3),
        "seconds_per_track": round(decode_seconds + per_pass * whole.num_passes, 2),
    }


def _first_decoded(config: BenchmarkConfig, catalogue: Catalogue, audio: AudioConfig) -> pa.Table:
    """Return the first row of the catalogue that can be decoded, with its PCM."""
    for index in range(catalogue.num_tracks):
        [row] = stages.fetch_and_decode(
            input_rows(catalogue.rows.slice(index, 1), pa.array([1], pa.int32())),
            base=catalogue.base,
            sample_rate=audio.sample_rate,
            chunk_samples=audio.chunk_samples,
            **config.decoding,
        )
        if row["pcm"][0].is_valid:
            return row
    raise ValueError(f"{config.catalogue}: none of the tracks can be decoded")
