"""Words of captions that a vocabulary lacks and that training therefore replaces by `<unk>`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from muscaps.vocabulary import Vocabulary, tokenize

MAX_EXAMPLES = 8


@dataclass(frozen=True, kw_only=True)
class WordCoverage:
    """How many words of some captions a vocabulary has."""

    num_words: int
    """Words of the captions, with repetitions; commas do not count."""
    num_unknown: int
    """Those that become `<unk>`."""
    examples: tuple[str, ...]
    """The most frequent unknown words."""

    @property
    def unknown_share(self) -> float:
        """Fraction of the words that become `<unk>`; 0 without words."""
        return self.num_unknown / self.num_words if self.num_words else 0.0


def word_coverage(captions: Iterable[str], vocabulary: Vocabulary) -> WordCoverage:
    """Count the words of captions that a vocabulary lacks."""
    words = Counter(token for caption in captions for token in tokenize(caption) if token != ",")
    unknown = Counter({word: count for word, count in words.items() if word not in vocabulary})
    return WordCoverage(
        num_words=words.total(),
        num_unknown=unknown.total(),
        examples=tuple(word for word, _ in unknown.most_common(MAX_EXAMPLES)),
    )
