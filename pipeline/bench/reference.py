"""The plain program that the job is compared with: the published one's way of working, timed."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from muscaps.config import DecodingOptions
from pipeline.bench.config import BenchmarkConfig
from pipeline.bench.threads import torch_threads
from pipeline.captioning import stages
from pipeline.captioning.rows import input_rows
from pipeline.catalogue import Catalogue

if TYPE_CHECKING:
    from muscaps.models.caption_model import CaptionNetwork, EncodedAudio


class PlainProgram:
    """How the published program captions, told again plainly: one track at a time, hearing it anew for every word.

    Every word of every hypothesis runs the audio network over all chunks of the track, one copy a hypothesis. The
    weights are the job's; nothing is folded, rearranged or kept.
    """

    def __init__(self, model: "CaptionNetwork") -> None:
        """Take a model in evaluation mode, as its checkpoint holds it."""
        self._model = model.eval()
        self.copies = 0
        """Copies of a track the audio network has been run over."""

    def _heard(self, chunks: Any, copies: int) -> "EncodedAudio":
        """Run the audio network over copies of a track, (chunks, samples)."""
        import torch

        repeated = chunks.repeat(copies, 1)
        self.copies += copies
        features = self._model.feature_extractor(repeated).view(copies, len(chunks), -1)
        return self._model.encode(features, torch.ones(copies, len(chunks), dtype=torch.bool))

    def caption(
        self, chunks: Any, options: DecodingOptions, *, max_words: int | None = None, features: Any = None
    ) -> tuple[list[int], float]:
        """Search a caption for one track.

        Args:
            chunks: Audio, (chunks, samples).
            options: Beam size and longest caption.
            max_words: Words after which to give up, for timing a part of the work.
            features: Stand-ins for what the audio network would say, (chunks, feature): the same search without
                hearing anything, to count what it would have heard.

        Returns:
            The words of the best hypothesis and its log-probability; the best unfinished one if none finished.
        """
        import torch

        from muscaps.vocabulary import EOS, SOS

        live: list[tuple[list[int], float]] = [([SOS], 0.0)]
        finished: list[tuple[list[int], float]] = []
        state = None
        with torch.inference_mode():
            for _ in range(max_words or options.max_words):
                copies = len(live)
                if features is None:
                    encoded = self._heard(chunks, copies)
                else:
                    self.copies += copies
                    mask = torch.ones(copies, len(features), dtype=torch.bool)
                    encoded = self._model.encode(features.expand(copies, -1, -1), mask)
                state = self._model.start(encoded) if state is None else state
                said = torch.tensor([words[-1] for words, _ in live])
                log_probs, state = self._model.step(encoded, state, said)
                scores = log_probs.double() + torch.tensor([score for _, score in live], dtype=torch.float64)[:, None]
                best = scores.flatten().topk(min(options.beam_size - len(finished), scores.numel()))
                grown = [
                    (index // scores.shape[1], index % scores.shape[1], score)
                    for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
                ]
                going = [(row, word, score) for row, word, score in grown if word != EOS]
                finished += [(live[row][0], score) for row, word, score in grown if word == EOS]
                live = [([*live[row][0], word], score) for row, word, score in going]
                if not live:
                    break
                state = state.select(torch.tensor([row for row, _, _ in going]))
        words, score = max(finished or live, key=lambda one: one[1])
        return words[1:], score


def time_reference(config: BenchmarkConfig, catalogue: Catalogue, directory: Path) -> dict[str, Any]:
    """Time the plain program on a few words of one track with all cores, and reckon what the whole would take."""
    import torch

    from muscaps.audio import to_chunks
    from muscaps.checkpoint import load_checkpoint

    loaded = load_checkpoint(directory)
    audio, rows = loaded.audio_config, catalogue.rows
    how: dict[str, Any] = {
        "base": catalogue.base,
        "sample_rate": audio.sample_rate,
        "chunk_samples": audio.chunk_samples,
    }
    for index in range(catalogue.num_tracks):
        [row] = stages.fetch_and_decode(input_rows(rows.slice(index, 1), pa.array([1], pa.int32())), **how)
        if row["pcm"][0].is_valid:
            break
    else:
        raise ValueError(f"{config.catalogue}: none of the tracks can be decoded")
    pcm = np.frombuffer(row["pcm"][0].as_buffer(), dtype="<i2")
    chunks = torch.from_numpy(to_chunks(pcm, audio.chunk_samples).astype(np.float32) / 32768)
    decode_seconds = row["fetch_seconds"][0].as_py() + row["decode_seconds"][0].as_py()
    with torch_threads(len(os.sched_getaffinity(0))), torch.inference_mode():
        features = torch.cat([loaded.model.eval().feature_extractor(part) for part in torch.split(chunks, 4)])
        whole = PlainProgram(loaded.model)
        words, _ = whole.caption(chunks, config.options, features=features)
        timed = PlainProgram(loaded.model)
        started = time.perf_counter()
        timed.caption(chunks, config.options, max_words=config.reference_words)
        seconds = time.perf_counter() - started
    per_copy = seconds / timed.copies
    return {
        "how": (
            f"one track of {len(chunks)} chunks, the first {config.reference_words} of its words timed; the rest "
            "reckoned by copies of the track heard, which an untimed search with kept features counts"
        ),
        "threads": len(os.sched_getaffinity(0)),
        "audio_seconds": round(len(chunks) * audio.chunk_seconds, 1),
        "words": len(words),
        "copies_heard": whole.copies,
        "copies_timed": timed.copies,
        "seconds_timed": round(seconds, 2),
        "seconds_per_copy": round(per_copy, 3),
        "seconds_per_track": round(decode_seconds + per_copy * whole.copies, 2),
    }
