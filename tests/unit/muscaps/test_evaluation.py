"""`muscaps evaluate`: files of captions, and a tiny captioner on a tiny prepared dataset. No Java needed."""

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
from muscaps.evaluation.caption_files import read_captions
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


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_file_of_captions_is_scored_as_json(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "captions.jsonl",
        {"prediction": "calm calm piano", "references": ["Calm piano.", "Soft piano"]},
        "",
        {"prediction": "loud rock", "references": ["loud rock"]},
    )
    training = write_lines(tmp_path / "training.txt", "Loud rock.")
    result = CliRunner().invoke(
        app,
        [
            *("evaluate", "--captions", str(path), "--json", "--training-captions", str(training)),
            *("--per-caption", str(tmp_path / "each.jsonl")),
        ],
    )
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    assert set(caption_metrics.METRICS) <= set(scores)
    assert scores["meteor"] is None
    assert "Java" in scores["missing"]["meteor"]
    assert scores["bleu_1"] == pytest.approx(4 / 5)
    assert scores["num_captions"] == 2
    assert scores["statistics"]["captions_with_repetition"] == 0.5
    assert scores["statistics"]["novel_captions"] == 0.5
    each = [json.loads(line) for line in (tmp_path / "each.jsonl").read_text().splitlines()]
    assert each[1]["rouge_l"] == 1
    assert each[1]["prediction"] == "loud rock"


def test_printed_tables_show_scores_times_100(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "captions.jsonl", {"prediction": "a b c d e", "references": ["a b c d e"]})
    result = CliRunner().invoke(app, ["evaluate", "--captions", str(path)])
    assert result.exit_code == 0
    assert "BLEU-4" in result.stdout
    assert "100.0" in result.stdout
    assert "METEOR missing: METEOR needs Java" in result.stdout


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{oops", "line 2: not JSON"),
        ({"references": ["a"]}, 'line 2: needs "prediction"'),
        ({"prediction": "a", "references": []}, 'line 2: needs "references"'),
        ({"prediction": "a", "references": "a"}, 'line 2: needs "references"'),
        ([1], 'line 2: needs "prediction"'),
    ],
)
def test_an_unusable_line_is_named(tmp_path: Path, line: object, complaint: str) -> None:
    path = write_lines(tmp_path / "captions.jsonl", {"prediction": "a", "references": ["a"]}, line)
    with pytest.raises(ValueError, match=complaint):
        read_captions(path)
    result = CliRunner().invoke(app, ["evaluate", "--captions", str(path)])
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_line_separator_inside_a_caption_splits_nothing(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text(
        json.dumps({"prediction": "a\u2028b", "references": ["a\x85b"]}, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    assert read_captions(path) == (["a\u2028b"], [["a\x85b"]])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to evaluate"),
        (["data"], "nothing to evaluate"),
        (["data", "model", "--captions", "x.jsonl"], "not both"),
        (["--captions", "absent.jsonl"], "absent.jsonl: No such file"),
        (["absent", "model"], "model"),
        (["data", "model", "--split", "dev"], "split must be one of"),
        (["data", "model", "--beam-size", "0"], "beam_size"),
        (["data", "model", "--convention", "coco"], "--convention"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


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
