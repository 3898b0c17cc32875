"""What a search needs of a captioning model, whichever model it is."""

from typing import NamedTuple, Protocol

from torch import Tensor


def _rows(part: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if part is None else part.index_select(0, rows)


class EncodedAudio(NamedTuple):
    """What the words of a caption need to know of their tracks, one row a track."""

    embedding: Tensor
    """Audio embedding a, (batch, hidden)."""
    features: Tensor | None = None
    """Chunk features a_i, (batch, chunks, feature); only with attention."""
    keys: Tensor | None = None
    """Their projection for the attention, (batch, chunks, attention)."""
    mask: Tensor | None = None
    """True where a chunk is real audio, (batch, chunks)."""
    gates: Tensor | None = None
    """What the embedding adds to the encoder LSTM's gates, (batch, 4 * hidden); only where arranged for search."""

    def select(self, rows: Tensor) -> "EncodedAudio":
        """Return the given rows, in order and repeated as asked."""
        return EncodedAudio(
            self.embedding.index_select(0, rows),
            _rows(self.features, rows),
            _rows(self.keys, rows),
            _rows(self.mask, rows),
            _rows(self.gates, rows),
        )


class DecoderState(NamedTuple):
    """Both LSTMs' hidden and cell states, each (batch, hidden), and the last attention weights."""

    encoder_hidden: Tensor
    encoder_cell: Tensor
    decoder_hidden: Tensor
    decoder_cell: Tensor
    attention: Tensor | None = None
    """Weights over chunks for the word just predicted, (batch, chunks); only with attention."""

    def select(self, rows: Tensor) -> "DecoderState":
        """Return the given rows, in order and repeated as asked."""
        return DecoderState(
            self.encoder_hidden.index_select(0, rows),
            self.encoder_cell.index_select(0, rows),
            self.decoder_hidden.index_select(0, rows),
            self.decoder_cell.index_select(0, rows),
            _rows(self.attention, rows),
        )


class CaptionModel(Protocol):
    """What a search needs of a model; a fake one can drive it in a test."""

    def start(self, encoded: EncodedAudio) -> DecoderState:
        """Return the state before the first word."""
        ...

    def step(self, encoded: EncodedAudio, state: DecoderState, word_ids: Tensor) -> tuple[Tensor, DecoderState]:
        """Read one word a row, (batch * beams,); return log P(next word), (batch * beams, vocab), and the new state."""
        ...
