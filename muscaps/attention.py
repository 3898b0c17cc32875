"""Temporal attention over chunks (paper section III-D)."""

from torch import Tensor, nn


class TemporalAttention(nn.Module):
    """Soft top-down attention: which chunks matter for the next word (paper Eq. 4 and 5)."""

    def __init__(self, feature_dim: int, hidden_dim: int, attention_dim: int) -> None:
        super().__init__()
        self.project_audio = nn.Linear(feature_dim, attention_dim)
        self.project_hidden = nn.Linear(hidden_dim, attention_dim)
        self.score = nn.Linear(attention_dim, 1)

    def forward(self, hidden: Tensor, keys: Tensor, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh a track's chunks by relevance to the next word.

        Args:
            hidden: Encoder LSTM state h_t, (batch, hidden).
            keys: `project_audio(features)`, which no word changes, (batch, chunks, attention).
            features: Audio features a_i, (batch, chunks, feature).
            mask: True where a chunk is real audio, (batch, chunks).

        Returns:
            Attended feature (Eq. 5), (batch, feature), and weights beta (Eq. 4), (batch, chunks). Weights
            sum to 1 per track and are 0 on padding.
        """
        scores = self.score((keys + self.project_hidden(hidden).unsqueeze(1)).tanh()).squeeze(-1)
        weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)
        return (weights.unsqueeze(1) @ features).squeeze(1), weights
