"""Words that a caption may not say next: content words that it holds already, and `<unk>`.

Conventions: a content word and its plural are one word (`lexicon.content_word`). Stop words, commas and special tokens
may repeat. A word that may not come next gets the log-probability -inf; the others keep the model's own, so that a
caption's log-probability stays log P(words, `<eos>` | audio).
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from muscaps.lexicon import content_word
from muscaps.vocabulary import UNK


class WordConstraints:
    """What a search may not say, for one vocabulary."""

    def __init__(
        self, words: Sequence[str], *, no_repeated_words: bool, allow_unknown: bool, device: torch.device | None = None
    ) -> None:
        """Prepare the constraints.

        Args:
            words: The vocabulary by id.
            no_repeated_words: Whether a content word may come once at most.
            allow_unknown: Whether `<unk>` may come.
            device: Where log-probabilities lie.
        """
        self._never = torch.zeros(len(words), dtype=torch.bool, device=device)
        self._never[UNK] = not allow_unknown
        self._excludes = _excluded_ids(words).to(device) if no_repeated_words else None

    def constrained(self, log_probs: Tensor, words: Tensor) -> Tensor:
        """Rule out the words that may not come next.

        Args:
            log_probs: log P(next word), (rows, vocab).
            words: Ids so far, negative where there is none, (rows, steps).

        Returns:
            The same with -inf for words that may not come, (rows, vocab).
        """
        constrained = log_probs.masked_fill(self._never, float("-inf"))
        if self._excludes is None or words.shape[1] == 0:
            return constrained
        rows, vocab = log_probs.shape
        excluded = torch.zeros(rows, vocab + 1, dtype=torch.bool, device=log_probs.device)
        index = self._excludes[words].flatten(1)  # -1 picks the last row, which excludes nothing
        excluded.scatter_(1, index, True)
        return constrained.masked_fill(excluded[:, :vocab], float("-inf"))


def _excluded_ids(words: Sequence[str]) -> Tensor:
    """List by word which words may not follow it, (vocab + 1, most words with one key).

    The id after the last word stands for no word. The last row belongs to it.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for index, word in enumerate(words):
        key = content_word(word)
        if key is not None:
            same[key].append(index)
    width = max(map(len, same.values()), default=1)
    table = torch.full((len(words) + 1, width), len(words))
    for members in same.values():
        for index in members:
            table[index, : len(members)] = torch.tensor(members)
    return table
