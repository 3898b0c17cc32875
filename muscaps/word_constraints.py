"""Words that must not follow in a caption: content words that it already contains, the end of a phrase that is
excluded, `<unk>`, and words that are improbable beside the most probable one.

Conventions: a content word and its plural are one word (`lexicon.content_word`). Stop words, commas and special tokens
may repeat. A word that must not follow gets the log-probability -inf. The others keep the model's value, so that a
caption's log-probability is still log P(words, `<eos>` | audio).
"""

import math
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
        least_word_share: float = 0.0,
        device: torch.device | None = None,
    ) -> None:
        """Prepare the constraints.

        Args:
            words: The vocabulary by id.
            no_repeated_words: True if a content word may occur once at most.
            allow_unknown: True if `<unk>` may occur.
            excluded_phrases: Each is a word that never occurs, two words of which the second must not follow the
                first, or `word * word`, where `*` is any one word. Phrases with a word outside the vocabulary have no
                effect.
            least_word_share: A word follows only if its probability is at least this share of that of the most
                probable word that may follow. Evidence and rewards then choose among words that make a sentence (Li
                et al., Contrastive Decoding, 2023, section 3.3).
            device: Device of the log-probabilities.

        Raises:
            ValueError: A phrase of another form, or a share that is not from 0 to 1.
        """
        if not 0 <= least_word_share <= 1:
            raise ValueError(f"least_word_share must lie in 0 to 1, not {least_word_share}")
        self._log_least_share = math.log(least_word_share) if least_word_share else None
        never, pairs, gaps = _excluded(words, excluded_phrases)
        never[UNK] = not allow_unknown
        self._never = never.to(device)
        self._excludes = _excluded_ids(words).to(device) if no_repeated_words else None
        self._before = [(steps, table.to(device)) for steps, table in ((1, pairs), (2, gaps)) if table.any()]
        """How many words before, and a table by `_excluded`."""

    def constrained(self, log_probs: Tensor, words: Tensor) -> Tensor:
        """Exclude the words that must not follow.

        Args:
            log_probs: log P(next word), (rows, vocab).
            words: Ids so far, negative where there is none, (rows, steps).

        Returns:
            The same with -inf for words that must not follow, (rows, vocab).
        """
        constrained = self._allowed(log_probs, words)
        if self._log_least_share is None:
            return constrained
        least = constrained.amax(dim=1, keepdim=True) + self._log_least_share
        return constrained.masked_fill(constrained < least, float("-inf"))

    def _allowed(self, log_probs: Tensor, words: Tensor) -> Tensor:
        """Exclude words by the words before."""
        constrained = log_probs.masked_fill(self._never, float("-inf"))
        if words.shape[1] == 0:
            return constrained
        for steps, table in self._before:
            if words.shape[1] >= steps:
                constrained = constrained.masked_fill(table[words[:, -steps]], float("-inf"))
        if self._excludes is None:
            return constrained
        rows, vocab = log_probs.shape
        excluded = torch.zeros(rows, vocab + 1, dtype=torch.bool, device=log_probs.device)
        index = self._excludes[words].flatten(1)  # -1 selects the last row, which excludes nothing
        excluded.scatter_(1, index, True)
        return constrained.masked_fill(excluded[:, :vocab], float("-inf"))


def phrase_occurs(phrase: str, words: Sequence[str]) -> bool:
    """Whether an excluded phrase occurs in a sentence, given as words."""
    parts = phrase.split()
    starts = range(len(words) - len(parts) + 1)
    return any(all(part in ("*", word) for part, word in zip(parts, words[at:], strict=False)) for at in starts)


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


def _excluded(words: Sequence[str], phrases: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Read phrases.

    Returns:
        Words that never occur, (vocab); words that must not follow a word, (vocab + 1, vocab); and words that must not
        come after the next one, (vocab + 1, vocab). The last rows, for no word, exclude nothing.
    """
    ids = {word: index for index, word in enumerate(words)}
    never = torch.zeros(len(words), dtype=torch.bool)
    pairs, gaps = (torch.zeros(len(words) + 1, len(words), dtype=torch.bool) for _ in range(2))
    for phrase in phrases:
        match [ids.get(word, word) for word in phrase.split()]:
            case [int(word)]:
                never[word] = True
            case [int(first), int(second)]:
                pairs[first, second] = True
            case [int(first), "*", int(second)]:
                gaps[first, second] = True
            case [_] | [_, _] | [_, "*", _]:
                pass
            case _:
                raise ValueError(f"an excluded phrase is a word, two words or `word * word`, not {phrase!r}")
    return never, pairs, gaps
