"""Captions, features and scores of waveforms, from a checkpoint. Ray is not needed."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from muscaps.audio import to_chunks
from muscaps.batching import chunk_batches, in_batches
from muscaps.caption import Caption, Segment, to_caption
from muscaps.checkpoint import Checkpoint, checkpoint_path, load_checkpoint
from muscaps.config import AudioConfig, DecodingOptions, ModelConfig, Precision
from muscaps.decoding import beam_search
from muscaps.inference import convolution_precision, fold_weight_norm, prepare_decoder, prepare_extractor
from muscaps.limited_search import limited_search
from muscaps.models.caption_model import EncodedAudio
from muscaps.search_rules import SearchRules
from muscaps.tagger import TagHeads
from muscaps.tags import Tag
from muscaps.vocabulary import EOS, SOS, Vocabulary, tokenize
from muscaps.waveforms import Track, as_waveforms

FEATURE_BATCH = {"cpu": 4, "cuda": 256}
"""Chunks per forward pass: the activations of a small batch stay in a CPU's cache; a GPU needs many."""
SEARCH_BATCH = 256
"""Tracks searched at once; limits memory for any number of tracks."""

Features = npt.NDArray[np.float32] | npt.NDArray[np.float16]


class Captioner:
    """Captions music: features once per chunk, then a search over words, batched over tracks.

    A caption does not depend on the other tracks of its batch. A batch that does not fit into the device's memory is
    halved, and so are those after it.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        feature_batch: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        """Prepare a loaded checkpoint for inference.

        Args:
            checkpoint: What `load_checkpoint` returned.
            device: `cpu`, `cuda`, `cuda:1`...
            feature_batch: Chunks per forward pass of the feature extractor; chosen for the device if not given.
            precision: `bfloat16`, or on a GPU `tf32`, for the layers of the feature extractor that gain by it.
        """
        self.device = torch.device(device)
        self.model = fold_weight_norm(checkpoint.model.eval().requires_grad_(False)).to(self.device)
        self.vocabulary: Vocabulary = checkpoint.vocabulary
        self.audio_config: AudioConfig = checkpoint.audio_config
        self.model_config: ModelConfig = checkpoint.model_config
        self.card: dict[str, Any] = checkpoint.card
        self.model_id = checkpoint.model_id
        self.tagger: TagHeads | None = checkpoint.tagger
        self.feature_batch = feature_batch or FEATURE_BATCH.get(self.device.type, 64)
        self.search_batch = SEARCH_BATCH
        self.precision: Precision = precision
        self._extract = prepare_extractor(self.model.feature_extractor, precision)
        self._decoder = prepare_decoder(self.model)
        self._rules = SearchRules(self.vocabulary.words, self.tagger, self.card.get("decoding", {}), self.device)

    @classmethod
    def load(
        cls, directory: Path | str = "bundled", device: str = "cpu", precision: Precision = "float32"
    ) -> "Captioner":
        """Read a checkpoint and prepare it for inference.

        Args:
            directory: Checkpoint directory, or `bundled` for the checkpoint that is part of the package.
            device: `cpu`, `cuda`, `cuda:1`...
            precision: Precision of the feature extractor; see `Precision`.

        Raises:
            CheckpointError: Naming the file and what is wrong with it.
        """
        return cls(load_checkpoint(checkpoint_path(directory)), device, precision=precision)

    def __repr__(self) -> str:
        return f"Captioner({self.model_id!r}, device={str(self.device)!r}, {len(self.vocabulary)} words)"

    @property
    def name(self) -> str:
        """The checkpoint's short name."""
        return str(self.card["name"])

    @property
    def chunk_samples(self) -> int:
        """Samples in one chunk."""
        return self.audio_config.chunk_samples

    @property
    def feature_dim(self) -> int:
        """Width of a chunk's feature vector."""
        return self.model.feature_extractor.feature_dim

    @property
    def embedding_dim(self) -> int:
        """Width of a track's audio embedding."""
        return self.model.embedding_dim

    @torch.inference_mode()
    def features(
        self, waveforms: Iterable[Track], *, sample_rate: float | None = None
    ) -> list[npt.NDArray[np.float32]]:
        """Extract chunk features, the chunks of all tracks batched together.

        Args:
            waveforms: Tracks: mono signals, (samples,), floats in [-1, 1] or int16; or paths, or bytes of audio files.
            sample_rate: Rate of the signals in Hz, from which they are resampled; None means the model's, 16 kHz. Files
                are read at their own rate.

        Returns:
            Per track its features, (chunks, feature).

        Raises:
            TypeError: `waveforms` is one track instead of a list, or holds something that cannot be a track.
            ValueError: A waveform is empty, not one-dimensional or not finite.
            AudioError: A file cannot be decoded.
        """
        rate = self.audio_config.sample_rate
        waves = as_waveforms(waveforms, sample_rate=sample_rate, model_rate=rate)
        chunked = [to_chunks(waveform, self.chunk_samples) for waveform in waves]
        if not chunked:
            return []
        counts = [len(chunks) for chunks in chunked]
        parts: list[Tensor] = []  # on the device, so that a GPU computes while the next batch is assembled
        with convolution_precision(self.precision):
            for batch in chunk_batches(chunked, self.feature_batch):
                found, self.feature_batch = in_batches(self._extracted, batch, self.feature_batch)
                parts += found
        return np.split(torch.cat(parts).cpu().numpy(), np.cumsum(counts)[:-1])

    def _extracted(self, chunks: npt.NDArray[Any]) -> list[Tensor]:
        """Return the features of some chunks, on the device. int16 is moved to the device and scaled there."""
        tensor = torch.from_numpy(np.ascontiguousarray(chunks))
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()  # so that the transfer overlaps with the computation of the previous batch
        tensor = tensor.to(self.device, non_blocking=True)
        return [self._extract(tensor.float() / 32768 if tensor.dtype == torch.int16 else tensor)]

    def tags(self, features: Sequence[Features]) -> list[list[Tag]]:
        """Return the tags of tracks with calibrated scores, by facet, the highest score first.

        Args:
            features: Tracks, (chunks, feature) each.

        Raises:
            ValueError: The checkpoint has no tag heads (`tagger` is None), or the features have another width.
        """
        if self.tagger is None:
            raise ValueError(f"{self.model_id} has no tag heads")
        return self.tagger.tags(features)

    def caption(
        self, waveforms: Iterable[Track], options: DecodingOptions | None = None, *, sample_rate: float | None = None
    ) -> list[Caption]:
        """Caption tracks.

        Args:
            waveforms: Tracks: mono signals, (samples,), floats in [-1, 1] or int16; or paths, or bytes of audio files.
            options: How to search; a beam of 5 by default.
            sample_rate: Rate of the signals in Hz, from which they are resampled; None means the model's, 16 kHz. Files
                are read at their own rate.

        Returns:
            One caption a track, in order.

        Raises:
            TypeError: `waveforms` is one track instead of a list, or holds something that cannot be a track.
            ValueError: A waveform is empty, not one-dimensional or not finite.
            AudioError: A file cannot be decoded.
        """
        _check_options(options)
        return self.caption_features(self.features(waveforms, sample_rate=sample_rate), options)

    @torch.inference_mode()
    def caption_features(self, features: Sequence[Features], options: DecodingOptions | None = None) -> list[Caption]:
        """Caption tracks whose features are already known, (chunks, feature) each."""
        _check_options(options)
        options = (options or DecodingOptions()).with_defaults(self.card.get("decoding", {}))
        work = partial(self._caption_some, options=options)
        captions, self.search_batch = in_batches(work, features, self.search_batch)
        if options.segment_seconds is None:
            return captions
        return [
            replace(caption, segments=self._segments(track, options))
            for caption, track in zip(captions, features, strict=True)
        ]

    def _caption_some(self, features: Sequence[Features], options: DecodingOptions) -> list[Caption]:
        encoded = self._encode(features)
        searches = self._rules.of_tracks(features, options, self._decoder, encoded)
        constraints, limit = self._rules.constraints(options), self._rules.limit(options)
        if limit is None:
            hypotheses = beam_search(self._decoder, searches.encoded, options, constraints, searches.guide)
        else:
            hypotheses = limited_search(self._decoder, searches.encoded, options, limit, constraints, searches.guide)
        worded = partial(to_caption, vocabulary=self.vocabulary, articles=self._rules.articles)
        by_track = zip(searches.by_track(hypotheses), searches.rules, encoded.embedding.cpu().numpy(), strict=True)
        found = [
            replace(worded(of_track, num_alternatives=options.num_alternatives, rules=rules), embedding=embedding)
            for of_track, rules, embedding in by_track
        ]
        if not options.attention or encoded.mask is None:
            return found
        return [
            replace(caption, attention=self._attention(encoded, row, caption.word_ids)[:, : len(features[row])])
            for row, caption in enumerate(found)
        ]

    def _encode(self, features: Sequence[Features]) -> EncodedAudio:
        """Pad tracks to one length and encode them."""
        for track in features:
            if track.ndim != 2 or track.shape[0] == 0 or track.shape[1] != self.feature_dim:
                raise ValueError(f"features must be (chunks, {self.feature_dim}), not {track.shape}")
        longest = max(len(track) for track in features)
        padded = np.zeros((len(features), longest, self.feature_dim), dtype=np.float32)
        mask = np.zeros((len(features), longest), dtype=bool)
        for row, track in enumerate(features):
            padded[row, : len(track)] = track
            mask[row, : len(track)] = True
        return self._decoder.encode(torch.from_numpy(padded).to(self.device), torch.from_numpy(mask).to(self.device))

    def _attention(self, encoded: EncodedAudio, row: int, word_ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Step through a caption and return the attention weights of each word and `<eos>`, (words + 1, chunks)."""
        one = encoded.select(torch.tensor([row], device=self.device))
        state, weights = self._decoder.start(one), []
        for word in (SOS, *word_ids):
            _, state = self._decoder.step(one, state, torch.tensor([word], device=self.device))
            assert state.attention is not None
            weights.append(state.attention[0].cpu().numpy())
        return np.stack(weights)

    def _segments(self, features: Features, options: DecodingOptions) -> tuple[Segment, ...]:
        """Caption every `segment_seconds` of a track, in whole chunks; a short remainder joins the last segment."""
        assert options.segment_seconds is not None
        seconds = self.audio_config.chunk_seconds
        per_segment = max(1, round(options.segment_seconds / seconds))
        starts = list(range(0, len(features), per_segment))
        if len(starts) > 1 and len(features) - starts[-1] < (per_segment + 1) // 2:
            starts.pop()
        ends = [*starts[1:], len(features)]
        plain = replace(options, num_alternatives=0, attention=False, segment_seconds=None)
        captions = self.caption_features([features[a:b] for a, b in zip(starts, ends, strict=True)], plain)
        return tuple(
            Segment(start_s=a * seconds, end_s=b * seconds, text=caption.text, log_prob=caption.log_prob)
            for a, b, caption in zip(starts, ends, captions, strict=True)
        )

    @torch.inference_mode()
    def score(self, features: Sequence[Features], text: str) -> npt.NDArray[np.float64]:
        """Score how well a sentence fits each track (paper section IV-C3, Eq. 8).

        Args:
            features: Tracks, (chunks, feature) each.
            text: A sentence; a word the model does not know counts as `<unk>`.

        Returns:
            log P(words, `<eos>` | audio), (tracks,).

        Raises:
            ValueError: The sentence holds no word.
        """
        tokens = tokenize(text)
        if not tokens:
            raise ValueError(f"nothing to search for in {text!r}")
        ids = self.vocabulary.encode(tokens)
        assert ids[0] == SOS and ids[-1] == EOS
        scores = []
        for start in range(0, len(features), SEARCH_BATCH):
            encoded = self._encode(features[start : start + SEARCH_BATCH])
            state, batch = self._decoder.start(encoded), encoded.embedding.shape[0]
            total = torch.zeros(batch, dtype=torch.float64, device=self.device)
            for word, following in zip(ids, ids[1:], strict=False):
                log_probs, state = self._decoder.step(encoded, state, torch.full((batch,), word, device=self.device))
                total += log_probs[:, following].double()
            scores.append(total.cpu().numpy())
        return np.concatenate(scores) if scores else np.zeros(0)


def _check_options(options: object) -> None:
    """Raise TypeError for a sample rate or beam size in place of options."""
    if options is not None and not isinstance(options, DecodingOptions):
        raise TypeError(
            f"options must be DecodingOptions, not {type(options).__name__}; a sample rate is passed as sample_rate=..."
        )
