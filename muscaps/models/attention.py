"""Temporal attention over chunks (paper section III-D)."""

from torch import Tensor, nn


class TemporalAttention(nn.Module):
    """Soft attention over chunks: which of them are relevant to the next word (paper Eq. 4 and 5)."""

    def __init__(self, feature_dim: int, hidden_dim: int, attention_dim: int) -> None:
        super().__init__()
        self.project_audio = nn.Linear(feature_dim, attention_dim)
        self.project_hidden = nn.Linear(hidden_dim, attention_dim)
        self.score = nn.Linear(attention_dim, 1)

    def forward(self, hidden: Tensor, keys: Tensor, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Weight a track's chunks by relevance to the next word.

        Beam search keeps several hypotheses per track. They are consecutive rows and share the track's audio.

        Args:
            hidden: Encoder LSTM state h_t, (batch * beams, hidden).
            keys: `project_audio(features)`, the same for every word, (batch, chunks, attention).
            features: Audio features a_i, (batch, chunks, feature).
            mask: True where a chunk is real audio, (batch, chunks).

        Returns:
            Attended feature (Eq. 5), (batch * beams, feature), and weights beta (Eq. 4), (batch * beams,
            chunks). Weights sum to 1 and are 0 on padding.
        """
        batch = keys.shape[0]
        query = self.project_hidden(hidden).view(batch, -1, 1, keys.shape[2])  # (batch, beams, 1, attention)
        scores = self.score((keys.unsqueeze(1) + query).tanh()).squeeze(-1)  # (batch, beams, chunks)
        weights = scores.masked_fill(~mask.unsqueeze(1), float("-inf")).softmax(dim=-1)
        return (weights @ features).flatten(0, 1), weights.flatten(0, 1)
