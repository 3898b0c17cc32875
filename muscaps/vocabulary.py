"""Words and their ids, special tokens, sentences, word vectors (paper sections III-A and IV-A)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from muscaps.lexicon import article

SPECIAL_TOKENS = ("<pad>", "<unk>", "<sos>", "<eos>")
PAD, UNK, SOS, EOS = range(4)

PROPER_ADJECTIVES = frozenset(
    "african american arabic asian brazilian caribbean celtic chinese cuban european french hawaiian indian irish "
    "italian japanese latin mexican nordic russian scottish spanish turkish".split()
)
"""Words that English writes with a capital letter."""

_TOKEN = re.compile(r"<(?:pad|unk|sos|eos)>|[^\W_]+(?:['’\-&/.][^\W_]+)*|,")


def tokenize(text: str) -> list[str]:
    """Split a caption into lower-case words and commas; other punctuation is dropped.

    Hyphens, apostrophes, `&`, `/` and full stops are kept between letters: `mid-tempo`, `8-bit`, `r&b`.
    """
    return _TOKEN.findall(text.lower().replace("’", "'"))


def detokenize(words: Sequence[str], *, articles: bool = False) -> str:
    """Join words to a sentence with a capital letter and a full stop; the result is empty without words.

    Adjectives of peoples and places get a capital letter too.

    Args:
        words: Words and commas.
        articles: Whether "a" and "an" are written by the sound of the next word: "an electronic track".
    """
    if articles:
        following = [*words[1:], ""]
        words = [
            article(after) if word in ("a", "an") and after[:1].isalnum() else word
            for word, after in zip(words, following, strict=True)
        ]
    text = " ".join(word.title() if word in PROPER_ADJECTIVES else word for word in words)
    text = text.replace(" ,", ",").strip(" ,")
    return f"{text[0].upper()}{text[1:]}." if text else ""


class Vocabulary:
    """Words by id. The four special tokens come first, then the words in order of first appearance."""

    def __init__(self, words: Sequence[str]) -> None:
        """Create a vocabulary from all words in id order, with the special tokens.

        Raises:
            ValueError: The special tokens do not come first, or a word appears twice.
        """
        if tuple(words[:4]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary starts with {' '.join(SPECIAL_TOKENS)}, not {' '.join(words[:4])}")
        self.words = list(words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = [word for word, count in Counter(self.words).items() if count > 1]
            raise ValueError(f"the vocabulary has a word more than once: {', '.join(twice[:5])}")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_captions(cls, captions: Iterable[Sequence[str]], min_count: int = 2) -> "Vocabulary":
        """Collect the words of tokenised captions; words with fewer than `min_count` occurrences become `<unk>`."""
        return cls.from_counts(Counter(word for caption in captions for word in caption), min_count)

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], min_count: int = 2) -> "Vocabulary":
        """Create a vocabulary from the words of `counts` with at least `min_count` occurrences, in order."""
        kept = [word for word, count in counts.items() if count >= min_count and word not in SPECIAL_TOKENS]
        return cls([*SPECIAL_TOKENS, *kept])

    def grown_by(self, other: "Vocabulary") -> "Vocabulary":
        """Return this vocabulary, extended by the new words of another; existing ids do not change."""
        return Vocabulary([*self.words, *(word for word in other.words if word not in self._ids)])

    def id_of(self, word: str) -> int:
        """Return the id of a word, or that of `<unk>` if it is unknown."""
        return self._ids.get(word, UNK)

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Return ids from `<sos>` to `<eos>`."""
        return [SOS, *(self.id_of(token) for token in tokens), EOS]

    def decode(self, ids: Sequence[int]) -> list[str]:
        """Return the words of ids up to `<eos>`, without `<pad>`, `<sos>` and `<eos>`."""
        words = []
        for index in ids:
            if index == EOS:
                break
            if index not in (PAD, SOS):
                words.append(self.words[index])
        return words

    def unknown(self, tokens: Sequence[str]) -> list[str]:
        """Return the tokens that are not in this vocabulary, in order."""
        return [token for token in tokens if token not in self._ids]

    def save(self, path: Path) -> None:
        """Write one word per line, in id order, UTF-8."""
        path.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read what `save` wrote.

        Raises:
            ValueError: The file is not a vocabulary.
        """
        return cls(path.read_text(encoding="utf-8").split("\n")[:-1])


def _special_rows(dim: int) -> np.ndarray:
    """Vectors of the special tokens, (4, dim): 0.1 times the id in every place (published code)."""
    return np.repeat(0.1 * np.arange(4, dtype=np.float32)[:, None], dim, axis=1)


def load_glove(path: Path, vocabulary: Vocabulary, dim: int = 300) -> Tensor:
    """Read GloVe word vectors from a text file: a word and `dim` numbers a line (paper [29]).

    Args:
        path: e.g. `glove.6B.300d.txt`, from the GloVe project.
        vocabulary: The words to find; one without a vector gets the row of `<unk>`.
        dim: Numbers a line.

    Returns:
        Float32 vectors, (vocab, dim).

    Raises:
        ValueError: A line does not hold `dim` numbers.
    """
    rows = _special_rows(dim)
    vectors = np.tile(rows[UNK], (len(vocabulary), 1))
    vectors[:4] = rows
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            word, *values = line.rstrip("\n").rsplit(" ", dim)
            if len(values) != dim:
                raise ValueError(f"{path}, line {number}: expected a word and {dim} numbers, found {len(values)}")
            if word in vocabulary and word not in SPECIAL_TOKENS:
                vectors[vocabulary.id_of(word)] = np.array(values, dtype=np.float32)
    return torch.from_numpy(vectors)


def vectors_from_captions(
    captions: Iterable[Sequence[str]], vocabulary: Vocabulary, dim: int = 300, seed: int = 0
) -> Tensor:
    """Learn word vectors from the captions themselves, for use without a GloVe file.

    Words that occur with the same words get similar vectors: positive pointwise mutual information of words in
    one caption, reduced by a truncated singular value decomposition (Levy and Goldberg, "Neural Word
    Embedding as Implicit Matrix Factorization", 2014), scaled to GloVe's typical magnitude of 0.4 a number.

    Returns:
        Float32 vectors, (vocab, dim), the same for the same captions and seed.
    """
    size = len(vocabulary)
    together = np.zeros((size, size))
    for caption in captions:
        ids = [vocabulary.id_of(word) for word in caption]
        for i, first in enumerate(ids):
            for j, second in enumerate(ids):
                if i != j:
                    together[first, second] += 1.0 / abs(i - j)
    share = together.sum(axis=1, keepdims=True)
    expected = share @ share.T / max(share.sum(), 1e-9)
    information = np.log(np.maximum(together, 1e-12) / np.maximum(expected, 1e-12))
    left, scale, _ = np.linalg.svd(np.maximum(information, 0.0))
    generator = np.random.default_rng(seed)
    vectors = 0.01 * generator.standard_normal((size, dim))
    rank = min(dim, size)
    # A singular vector's sign is arbitrary; fix it, so that every machine gets the same vectors.
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(size)])
    vectors[:, :rank] += (left * signs)[:, :rank] * np.sqrt(scale[:rank])
    vectors *= 0.4 / max(float(vectors[4:].std()), 1e-9) if size > 4 else 1.0
    vectors[:4] = _special_rows(dim)
    return torch.from_numpy(vectors.astype(np.float32))
