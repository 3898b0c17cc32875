"""Words that must not follow in a caption: content words that it already contains, the end of a phrase that is
excluded, and `<unk>`.

Conventions: a content word and its plural are one word (`lexicon.content_word`). Stop words, commas and special tokens
may repeat. A word that must not follow gets the log-probability -inf. The others keep the model's value, so that a
caption's log-probability is still log P(words, `<eos>` | audio).
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from muscaps.lexicon import content_word
from muscaps.vocabulary import UNK


class WordConstraints:
    """Constraints of a search, for one vocabulary."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        no_repeated_words: bool,
        allow_unknown: bool,
        excluded_phrases: Sequence[str] = (),
        device: torch.device | None = None,
    ) -> None:
        """Prepare the constraints.

        Args:
            words: The vocabulary by id.
            no_repeated_words: True if a content word may occur once at most.
            allow_unknown: True if `<unk>` may occur.
            excluded_phrases: Pairs of words, separated by a space: the second must not follow the first. Pairs with a
                word outside the vocabulary have no effect.
            device: Device of the log-probabilities.

        Raises:
            ValueError: A phrase that is not two words.
        """
        self._never = torch.zeros(len(words), dtype=torch.bool, device=device)
        self._never[UNK] = not allow_unknown
        self._excludes = _excluded_ids(words).to(device) if no_repeated_words else None
        self._pairs = _excluded_pairs(words, excluded_phrases).to(device) if excluded_phrases else None

    def constrained(self, log_probs: Tensor, words: Tensor) -> Tensor:
        """Exclude the words that must not follow.

        Args:
            log_probs: log P(next word), (rows, vocab).
            words: Ids so far, negative where there is none, (rows, steps).

        Returns:
            The same with -inf for words that must not follow, (rows, vocab).
        """
        constrained = log_probs.masked_fill(self._never, float("-inf"))
        if words.shape[1] == 0:
            return constrained
        if self._pairs is not None:
            constrained = constrained.masked_fill(self._pairs[words[:, -1]], float("-inf"))
        if self._excludes is None:
            return constrained
        rows, vocab = log_probs.shape
        excluded = torch.zeros(rows, vocab + 1, dtype=torch.bool, device=log_probs.device)
        index = self._excludes[words].flatten(1)  # -1 selects the last row, which excludes nothing
        excluded.scatter_(1, index, True)
        return constrained.masked_fill(excluded[:, :vocab], float("-inf"))


def _excluded_ids(words: Sequence[str]) -> Tensor:
    """List by word which words may not follow it, (vocab + 1, most words with one key).

    The id after the last word means no word; the last row is for it.
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


def _excluded_pairs(words: Sequence[str], phrases: Sequence[str]) -> Tensor:
    """Mark which words must not follow which, (vocab + 1, vocab); the last row, no word, excludes nothing."""
    ids = {word: index for index, word in enumerate(words)}
    table = torch.zeros(len(words) + 1, len(words), dtype=torch.bool)
    for phrase in phrases:
        pair = phrase.split()
        if len(pair) != 2:
            raise ValueError(f"an excluded phrase is two words, not {phrase!r}")
        if all(word in ids for word in pair):
            table[ids[pair[0]], ids[pair[1]]] = True
    return table
