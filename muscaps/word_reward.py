"""A reward per word in the search: beam search over sums of log-probabilities prefers the shortest captions.

Conventions: the reward is in nats and counts for words. Commas, special tokens and `<eos>` get none. It is part of the
score by which hypotheses are compared, never of a caption's log-probability.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class WordReward:
    """A constant for each word; a guide of the search."""

    def __init__(self, words: Sequence[str], reward: float, device: torch.device | None = None) -> None:
        """Look up which tokens are words.

        Args:
            words: The vocabulary by id.
            reward: Nats per word.
            device: Device of the search.
        """
        rewards = [reward if word[:1].isalnum() else 0.0 for word in words]
        self._rewards = rewards
        self._bonus = torch.tensor(rewards, device=device)

    def select(self, rows: Tensor) -> "WordReward":
        """Return the same guide: it does not depend on the tracks."""
        return self

    def bonus(self, words: Tensor) -> Tensor:
        """Return the reward of each next word, (batch * beams, vocab)."""
        return self._bonus.expand(len(words), -1)

    def ruled_out(self, words: Tensor) -> None:
        """Return None: every word may follow."""
        return None

    def total(self, word_ids: Sequence[int]) -> float:
        """Return the reward of a whole caption in nats."""
        return sum(self._rewards[index] for index in word_ids)
