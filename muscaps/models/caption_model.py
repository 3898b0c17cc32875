"""The interface of a captioning model, and the tensors that pass between its methods.

`CaptionModel` is what a search needs. `CaptionNetwork` is what training and checkpoints need as well; `MusCaps` and
`DcaseBaseline` are its subclasses. Rows: a search keeps several hypotheses per track, and the rows of a track follow
one another.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from muscaps.config import ModelConfig
from muscaps.models.feature_extractor import FeatureExtractor


class EncodedAudio(NamedTuple):
    """Encoded tracks, one row per track; the same for every word of a caption."""

    embedding: Tensor
    """Audio embedding a, (batch, hidden)."""
    features: Tensor | None = None
    """Chunk features a_i, (batch, chunks, feature); only with attention."""
    keys: Tensor | None = None
    """Their projection for the attention, (batch, chunks, attention)."""
    mask: Tensor | None = None
    """True where a chunk is real audio, (batch, chunks)."""
    gates: Tensor | None = None
    """What the embedding adds to the gates of an LSTM, (batch, 4 * hidden); only from a `SearchModel`."""

    def select(self, rows: Tensor) -> "EncodedAudio":
        """Return the given rows; a row may be repeated."""
        return EncodedAudio(
            self.embedding.index_select(0, rows),
            _select(self.features, rows),
            _select(self.keys, rows),
            _select(self.mask, rows),
            _select(self.gates, rows),
        )


class DecoderState(NamedTuple):
    """Hidden and cell states of both LSTMs, each (batch, hidden), and the last attention weights."""

    encoder_hidden: Tensor
    encoder_cell: Tensor
    decoder_hidden: Tensor
    decoder_cell: Tensor
    attention: Tensor | None = None
    """Weights over chunks for the word just predicted, (batch, chunks); only with attention."""

    def select(self, rows: Tensor) -> "DecoderState":
        """Return the given rows; a row may be repeated."""
        return DecoderState(
            self.encoder_hidden.index_select(0, rows),
            self.encoder_cell.index_select(0, rows),
            self.decoder_hidden.index_select(0, rows),
            self.decoder_cell.index_select(0, rows),
            _select(self.attention, rows),
        )


def _select(part: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if part is None else part.index_select(0, rows)


class CaptionModel(Protocol):
    """What a search needs of a model. A test can drive a search with a fake one."""

    def encode(self, features: Tensor, mask: Tensor) -> EncodedAudio:
        """Encode tracks: chunk features, (batch, chunks, feature), and a mask of real chunks, (batch, chunks)."""
        ...

    def start(self, encoded: EncodedAudio) -> DecoderState:
        """Return the state before the first word."""
        ...

    def step(self, encoded: EncodedAudio, state: DecoderState, word_ids: Tensor) -> tuple[Tensor, DecoderState]:
        """Read one word per row, (batch * beams,); return log P(next word), (batch * beams, vocab), and the state."""
        ...


class CaptionNetwork(nn.Module, ABC):
    """A network that is a `CaptionModel`, can be trained and is stored in a checkpoint."""

    config: ModelConfig
    feature_extractor: FeatureExtractor
    dropout: nn.Module
    """Applied before the output layer; training replaces it."""
    output: nn.Module
    """Decoder state to logits, (batch, hidden) -> (batch, vocab)."""

    @property
    def embedding_dim(self) -> int:
        """Width of the audio embedding of a track; `hidden_dim` of the model card."""
        return self.config.hidden_dim

    @abstractmethod
    def encode(self, features: Tensor, mask: Tensor) -> EncodedAudio:
        """Encode tracks, once per track.

        Args:
            features: Chunk features a_i, (batch, chunks, feature). Padding may hold any finite value.
            mask: True where a chunk is real audio, (batch, chunks).

        Raises:
            ValueError: A track has no real chunk.
        """

    @abstractmethod
    def start(self, encoded: EncodedAudio) -> DecoderState:
        """Return the state before the first word."""

    @abstractmethod
    def step(self, encoded: EncodedAudio, state: DecoderState, word_ids: Tensor) -> tuple[Tensor, DecoderState]:
        """Read one word per row and predict the next (paper Eq. 7).

        Args:
            encoded: Tracks, one row each.
            state: Hypotheses, (batch * beams, hidden).
            word_ids: The last word of each hypothesis, (batch * beams,).

        Returns:
            log P(next word), (batch * beams, vocab), and the new state.
        """

    @abstractmethod
    def forward(self, features: Tensor, mask: Tensor, word_ids: Tensor) -> Tensor:
        """Predict every next word of given captions: teacher forcing (paper section IV-B).

        Args:
            features: Chunk features, (batch, chunks, feature).
            mask: True where a chunk is real audio, (batch, chunks).
            word_ids: Captions from `<sos>`, padded with `<pad>` at the end, (batch, steps).

        Returns:
            Logits for the word after each step, (batch, steps, vocab).
        """
