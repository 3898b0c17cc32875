"""A limit of words or characters: which words may follow without exceeding it, and which may be the last.

Conventions: characters are those of the sentence that `vocabulary.detokenize` makes, with spaces and full stop. Commas
count as characters, not as words. The last word is a content word: no article, preposition or comma.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from muscaps.lexicon import content_word
from muscaps.vocabulary import EOS


class LengthLimit:
    """The limits of a search, for one vocabulary."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        max_words: int | None = None,
        max_chars: int | None = None,
        articles: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Prepare the cost of every word.

        Args:
            words: The vocabulary by id.
            max_words: Most words; None for no limit.
            max_chars: Most characters; None for no limit.
            articles: Whether "a" may become "an", see `vocabulary.detokenize`.
            device: Device of the search.
        """
        self.may_be_last = torch.tensor([content_word(word) is not None for word in words], device=device)
        """True for words that a sentence may end with, (vocab,)."""
        given = [(max_words, _word_costs(words)), (max_chars, _char_costs(words, articles))]
        self._limits = [(limit, torch.tensor(costs, device=device)) for limit, costs in given if limit is not None]

    def exceeded(self, words: Tensor) -> Tensor:
        """Return which words would exceed a limit.

        Args:
            words: Ids so far, negative where there is none, (rows, steps).

        Returns:
            (rows, vocab) bool.
        """
        # An id of -1 selects the last cost, that of no word.
        too_long = [costs[words].sum(dim=1, keepdim=True) + costs[:-1] > limit for limit, costs in self._limits]
        return torch.stack(too_long).any(dim=0)


def _word_costs(words: Sequence[str]) -> list[int]:
    return [*(int(word[:1].isalnum()) for word in words), 0]


def _char_costs(words: Sequence[str], articles: bool) -> list[int]:
    """Return the characters that each word adds. Its space counts: that of the first word pays for the full stop."""
    costs = [1 if word == "," else 1 + max(len(word), len(word[:1].upper() + word[1:])) for word in words]
    if articles and "a" in words:
        costs[words.index("a")] += 1
    costs[EOS] = 0
    return [*costs, 0]
