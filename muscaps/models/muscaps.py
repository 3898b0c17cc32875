"""The MusCaps encoder-decoder: encode audio once, step word by word (paper sections III-C to III-E).

Three variants share one interface: early fusion (Eq. 2), late fusion (Eq. 3) and temporal attention (Eq. 4 to
6). `encode` computes what is the same for every word; `step` reads one word and predicts the next; `forward` is
teacher forcing over whole captions for training.

Departs from the paper: the published program runs the audio network again for every word of every
hypothesis; here it runs once per chunk.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscaps.config import ModelConfig
from muscaps.models.attention import TemporalAttention
from muscaps.models.caption_model import CaptionNetwork, DecoderState, EncodedAudio
from muscaps.models.feature_extractor import FeatureExtractor
from muscaps.models.weight_norm import WeightNormLinear


def mean_over_chunks(features: Tensor, mask: Tensor) -> Tensor:
    """Average the real chunks of each track, (batch, chunks, feature) -> (batch, feature) (section III-B)."""
    weights = mask.to(features.dtype)
    return torch.einsum("bcf,bc->bf", features, weights) / weights.sum(dim=1, keepdim=True)


class MusCaps(CaptionNetwork):
    """The captioner around a feature extractor; `config.fusion` selects the variant."""

    def __init__(self, config: ModelConfig, feature_extractor: FeatureExtractor) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = feature_extractor
        feature_dim, hidden, word_dim = (
            feature_extractor.feature_dim,
            config.hidden_dim,
            config.word_embedding_dim,
        )
        self.word_embedding = nn.Embedding(config.vocabulary_size, word_dim)
        self.word_embedding.weight.requires_grad_(False)  # frozen (section III-A)
        self.audio_linear = nn.Linear(feature_dim, hidden)
        self.audio_norm = nn.BatchNorm1d(hidden)
        encoder_in = {"early": hidden + word_dim, "late": word_dim, "attention": word_dim + 2 * hidden}
        decoder_in = {"early": hidden, "late": 2 * hidden, "attention": feature_dim + hidden}
        self.encoder = nn.LSTMCell(encoder_in[config.fusion], hidden)
        self.decoder = nn.LSTMCell(decoder_in[config.fusion], hidden)
        self.attention = (
            TemporalAttention(feature_dim, hidden, config.attention_dim) if config.fusion == "attention" else None
        )
        self.output = WeightNormLinear(hidden, config.vocabulary_size)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, features: Tensor, mask: Tensor) -> EncodedAudio:
        """Encode tracks, once per track.

        Args:
            features: Chunk features a_i, (batch, chunks, feature); padding may hold any finite value.
            mask: True where a chunk is real audio, (batch, chunks).

        Raises:
            ValueError: A track has no real chunk.
        """
        if not bool(mask.any(dim=1).all()):
            raise ValueError("every track needs at least one real chunk")
        embedding = F.relu(self.audio_norm(self.audio_linear(mean_over_chunks(features, mask))))
        if self.attention is None:
            return EncodedAudio(embedding)
        return EncodedAudio(embedding, features, self.attention.project_audio(features), mask)

    def start(self, encoded: EncodedAudio) -> DecoderState:
        """Return the state before the first word: the audio embedding; without attention, zeros for the encoder."""
        audio = encoded.embedding
        if encoded.mask is not None:
            return DecoderState(audio, audio, audio, audio, torch.zeros_like(encoded.mask, dtype=audio.dtype))
        zeros = torch.zeros_like(audio)
        return DecoderState(zeros, zeros, audio, audio)

    def _advance(self, encoded: EncodedAudio, state: DecoderState, words: Tensor) -> DecoderState:
        """Read word vectors, (batch * beams, word); the new state's decoder_hidden predicts the next word."""
        fusion, weights, beams = self.config.fusion, None, len(words) // len(encoded.embedding)
        audio = encoded.embedding if beams == 1 else encoded.embedding.repeat_interleave(beams, dim=0)
        if fusion == "early":
            encoder_input = torch.cat([audio, words], dim=1)  # Eq. 2
        elif fusion == "late":
            encoder_input = words
        else:
            encoder_input = torch.cat([words, audio, state.decoder_hidden], dim=1)
        hidden, cell = self.encoder(encoder_input, (state.encoder_hidden, state.encoder_cell))
        if fusion == "early":
            decoder_input = hidden
        elif fusion == "late":
            decoder_input = torch.cat([hidden, audio], dim=1)  # Eq. 3
        else:
            assert self.attention is not None and encoded.keys is not None
            assert encoded.features is not None and encoded.mask is not None
            attended, weights = self.attention(hidden, encoded.keys, encoded.features, encoded.mask)
            decoder_input = torch.cat([attended, hidden], dim=1)  # Eq. 6
        decoded, decoder_cell = self.decoder(decoder_input, (state.decoder_hidden, state.decoder_cell))
        return DecoderState(hidden, cell, decoded, decoder_cell, weights)

    def step(self, encoded: EncodedAudio, state: DecoderState, word_ids: Tensor) -> tuple[Tensor, DecoderState]:
        """Read one word per row and predict the next (Eq. 7).

        Args:
            encoded: Tracks, one row each.
            state: Hypotheses, those of a track in consecutive rows, (batch * beams, hidden).
            word_ids: The last word of each hypothesis, (batch * beams,).

        Returns:
            log P(next word), (batch * beams, vocab), and the new state.
        """
        state = self._advance(encoded, state, self.word_embedding(word_ids))
        logits: Tensor = self.output(state.decoder_hidden)
        return logits.log_softmax(dim=-1), state

    def forward(self, features: Tensor, mask: Tensor, word_ids: Tensor) -> Tensor:
        """Predict every next word of given captions: teacher forcing (section IV-B).

        Args:
            features: Chunk features, (batch, chunks, feature).
            mask: True where a chunk is real audio, (batch, chunks).
            word_ids: Captions from `<sos>`, padded with `<pad>` at the end, (batch, steps).

        Returns:
            Logits for the word after each step, (batch, steps, vocab).
        """
        encoded = self.encode(features, mask)
        state = self.start(encoded)
        words = self.word_embedding(word_ids)
        hidden = []
        for t in range(word_ids.shape[1]):
            state = self._advance(encoded, state, words[:, t])
            hidden.append(state.decoder_hidden)
        logits: Tensor = self.output(self.dropout(torch.stack(hidden, dim=1)))
        return logits
