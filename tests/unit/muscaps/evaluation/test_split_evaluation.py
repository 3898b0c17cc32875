"""A tiny captioner measured on a tiny prepared dataset, by function and by `muscaps evaluate`. No Java needed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from jobs.cli import app
from muscaps.captioner import Captioner
from muscaps.checkpoint import save_checkpoint
from muscaps.config import ExtractorConfig, ModelConfig
from muscaps.evaluation import caption_metrics
from muscaps.evaluation.caption_metrics import CaptionScorer
from muscaps.evaluation.retrieval import query_log_probs
from muscaps.evaluation.split_evaluation import EvaluationOptions, evaluate, published_reference, split_features
from muscaps.models.architectures import build_captioner
from muscaps.training.dataset.feature_cache import extractor_digest
from muscaps.training.dataset.pairs import Pair
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.dataset.writer import DatasetWriter
from muscaps.vocabulary import PAD

CAPTIONS = ("Calm piano over strings", "Fast rock guitar", "Dark slow strings", "Calm rock piano")


SECONDS = 4


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_metrics, "find_java", lambda: None)


@dataclass(frozen=True, kw_only=True)
class Tiny:
    dataset: Path
    checkpoint: Path
    captioner: Captioner


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    root = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(7)
    generator = np.random.default_rng(7)
    extractor = ExtractorConfig(num_channels=2, frontend_scale=0.02)
    tracks = [(generator.normal(size=(SECONDS + index % 4) * 16_000) * 3000).astype(np.int16) for index in range(12)]
    writer = DatasetWriter(root / "audio-only")
    pairs = []
    for index, samples in enumerate(tracks):
        caption = CAPTIONS[index % 4] + (" quietly" if index == 11 else "")
        split = "train" if index < 8 else "test"
        pairs.append(Pair(track_id=f"t{index}", uri=f"t{index}.wav", captions=(caption,), split=split))
        writer.store(f"t{index}", audio=samples)
    writer.finish(pairs)
    vocabulary = PreparedDataset(root / "audio-only").vocabulary
    config = ModelConfig(
        extractor=extractor,
        fusion="attention",
        vocabulary_size=len(vocabulary),
        word_embedding_dim=8,
        audio_embedding_dim=8,
        hidden_dim=8,
        attention_dim=8,
    )
    model = build_captioner(config).eval()
    with torch.no_grad():
        model.output.length.mul_(5)  # opinions strong enough to tell tracks apart
    save_checkpoint(root / "checkpoint", model, vocabulary, name="tiny", training={}, metrics={})
    return Tiny(
        dataset=root / "audio-only",
        checkpoint=root / "checkpoint",
        captioner=Captioner.load(root / "checkpoint"),
    )


def test_a_checkpoint_is_measured_on_a_dataset(tiny: Tiny, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        [
            *("evaluate", str(tiny.dataset), str(tiny.checkpoint), "--json"),
            *("--beam-size", "1", "--beam-size", "3", "--per-caption", str(tmp_path / "each.jsonl")),
        ],
    )
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    assert scores["num_captions"] == 4
    assert scores["beam_size"] == 3
    assert set(scores["by_beam_size"]) == {"1", "3"}
    assert scores["by_beam_size"]["3"]["cider"] == scores["cider"]
    assert scores["retrieval"]["num_queries"] == scores["retrieval"]["num_tracks"] == 4
    assert scores["retrieval"]["queries_with_unk"] == 1  # "quietly" is in no training caption
    first = json.loads((tmp_path / "each.jsonl").read_text().splitlines()[0])
    assert first["track_id"] == "t8"
    assert first["references"] == ["Calm piano over strings"]
    table = CliRunner().invoke(app, ["evaluate", str(tiny.dataset), str(tiny.checkpoint)])
    assert "greedy" in table.stdout
    assert "median rank" in table.stdout


def test_search_scores_equal_teacher_forced_log_probabilities(tiny: Tiny) -> None:
    dataset = PreparedDataset(tiny.dataset)
    tracks = split_features(tiny.captioner, dataset, dataset.split("test"))
    queries = [tiny.captioner.vocabulary.encode(text.lower().split()) for text in CAPTIONS]
    scores = query_log_probs(tiny.captioner, tracks, queries, batch=3)
    for row, query in enumerate(queries):
        assert scores[row] == pytest.approx(tiny.captioner.score(tracks, CAPTIONS[row]), abs=1e-6)
        for column, track in enumerate(tracks):
            ids = torch.tensor([query])
            logits = tiny.captioner.model(
                torch.from_numpy(np.asarray(track, dtype=np.float32))[None], torch.ones(1, len(track)) > 0, ids[:, :-1]
            )
            forced = -torch.nn.functional.cross_entropy(
                logits[0].double(), ids[0, 1:], ignore_index=PAD, reduction="sum"
            )
            assert scores[row, column] == pytest.approx(forced.item(), abs=1e-4)


def test_cached_features_are_used_only_if_they_are_the_models_own(tiny: Tiny, tmp_path: Path) -> None:
    plain = PreparedDataset(tiny.dataset)
    pairs = [Pair(track_id=e.track_id, uri="", captions=e.captions, split=e.split) for e in plain.examples]
    own = extractor_digest(tiny.captioner.model.feature_extractor)
    for name, digest in (("same", own), ("other", "0123456789abcdef")):
        writer = DatasetWriter(tmp_path / name)
        for example in plain.examples:
            writer.store(example.track_id, features=np.full((2, tiny.captioner.feature_dim), 0.5, np.float32))
        writer.finish(pairs, card={"extractor": digest})
    same, other = PreparedDataset(tmp_path / "same"), PreparedDataset(tmp_path / "other")
    assert np.all(split_features(tiny.captioner, same, same.split("test"))[0] == 0.5)
    with pytest.raises(ValueError, match="neither audio nor features by the extractor of tiny-"):
        split_features(tiny.captioner, other, other.split("test"))


def test_the_published_convention_scores_tokens_from_sos_to_eos(tiny: Tiny) -> None:
    assert published_reference("Calm banjo", tiny.captioner.vocabulary) == "<sos> calm <unk> <eos>"
    options = EvaluationOptions(beam_sizes=(2,), num_queries=0, convention="published")
    with CaptionScorer() as scorer:
        published = evaluate(tiny.captioner, PreparedDataset(tiny.dataset), options, scorer)
        default = evaluate(
            tiny.captioner,
            PreparedDataset(tiny.dataset),
            EvaluationOptions(beam_sizes=(2,), num_queries=0),
            scorer,
        )
    assert published.retrieval is None
    assert published.decoded[0].predictions == default.decoded[0].predictions
    assert published.decoded[0].scores.corpus["rouge_l"] > default.decoded[0].scores.corpus["rouge_l"]


def test_an_empty_split_is_refused(tiny: Tiny) -> None:
    with CaptionScorer() as scorer, pytest.raises(ValueError, match="validation split is empty"):
        evaluate(tiny.captioner, PreparedDataset(tiny.dataset), EvaluationOptions(split="validation"), scorer)
