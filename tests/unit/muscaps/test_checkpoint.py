"""Checkpoints are saved and loaded, published weights are imported, and everything else is an error."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from muscaps import Captioner, DecodingOptions
from muscaps.checkpoint import CheckpointError, load_checkpoint, load_extractor
from tests.data.parity import seeded
from tests.published_answers import PARITY, published_weights


def write_experiment(folder, name):
    """A published experiment folder of seeded weights."""
    entry = PARITY["captioners"][name]
    fusion, extractor = name.split("_")[:2]
    folder.mkdir()
    model_name = "cnn_attention_lstm" if fusion == "attention" else "cnn_lstm_caption"
    settings = {
        "model_name": model_name,
        "fusion": "early" if fusion == "attention" else fusion,
        "feature_extractor_type": extractor,
        "pretrained_version": "mtt",
        "max_caption_len": 22,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({"model_config": settings, "training": {"lr": 0.0001}}))
    size = entry["shapes"]["text_encoder.word_embeddings.weight"][0][0]
    counts = {"seen-once": 1, **{f"word{i}": 2 + i for i in range(size - 4)}, "also-once": 1}
    (folder / "vocab.json").write_text(json.dumps(counts))
    torch.save(
        {"epoch": 3, "state_dict": published_weights(entry["shapes"], entry["eos_bias"]), "optimizer": {"lr": 1e-4}},
        folder / "best_model.pth.tar",
    )
    return folder


@pytest.mark.parametrize(
    "name", ["early_musicnn_eos1.0", "late_hcnn_eos1.0", "attention_musicnn_eos2.5", "attention_hcnn_eos2.5"]
)
def test_an_imported_experiment_captions_like_the_published_program(tmp_path, name):
    source = write_experiment(tmp_path / "experiment", name)
    result = CliRunner().invoke(app, ["checkpoint", "import", str(source), str(tmp_path / "ours")])
    assert result.exit_code == 0, result.output
    captioner = Captioner.load(tmp_path / "ours")
    assert captioner.vocabulary.words[4] == "word0"
    for case in PARITY["captioners"][name]["cases"][:1]:
        wave = seeded.waveform(case["seconds"], case["waveform_seed"])
        features = captioner.features([wave])
        [greedy] = captioner.caption_features(features, DecodingOptions(beam_size=1))
        assert list(greedy.word_ids) == [index for index in case["greedy"][1:] if index != 3]


@pytest.mark.parametrize(("name", "width"), [("musicnn_mtt", 753), ("musicnn_msd", 2097), ("hcnn_mtt", 256)])
def test_a_bare_published_extractor_is_imported(tmp_path, name, width):
    torch.save(published_weights(PARITY["encoders"][name]), tmp_path / "best_model.pth")
    result = CliRunner().invoke(app, ["checkpoint", "import", str(tmp_path / "best_model.pth"), str(tmp_path / "ours")])
    assert result.exit_code == 0, result.output
    extractor, config, card, _ = load_extractor(tmp_path / "ours")
    assert extractor.feature_dim == width
    assert config.name == name.split("_")[0]
    assert card["kind"] == "extractor"


def import_fails(tmp_path, source):
    result = CliRunner().invoke(app, ["checkpoint", "import", str(source), str(tmp_path / "ours")])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not (tmp_path / "ours").exists()
    return result.output


def test_a_truncated_weight_file_is_refused_by_name(tmp_path):
    source = write_experiment(tmp_path / "experiment", "early_hcnn_eos1.0")
    weights = source / "best_model.pth.tar"
    weights.write_bytes(weights.read_bytes()[:100_000])
    assert "best_model.pth.tar: truncated or not a torch weight file" in import_fails(tmp_path, source)


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "best_model.pth").write_bytes(pickle.dumps(Bomb()))
    assert "best_model.pth: not read" in import_fails(tmp_path, tmp_path / "best_model.pth")
    assert not (tmp_path / "ran").exists()


def test_a_missing_parameter_is_named(tmp_path):
    source = write_experiment(tmp_path / "experiment", "late_musicnn_eos1.0")
    saved = torch.load(source / "best_model.pth.tar", weights_only=True)
    del saved["state_dict"]["decoder.lstm_cell.bias_hh"]
    torch.save(saved, source / "best_model.pth.tar")
    assert "missing decoder.bias_hh" in import_fails(tmp_path, source)


def test_a_vocabulary_of_another_experiment_is_refused(tmp_path):
    source = write_experiment(tmp_path / "experiment", "early_musicnn_eos1.0")
    (source / "vocab.json").write_text(json.dumps({"word": 3}))
    assert "different experiments" in import_fails(tmp_path, source)


def test_a_folder_that_is_no_experiment_says_what_it_lacks(tmp_path):
    assert "it lacks config.yaml, vocab.json, best_model.pth.tar" in import_fails(tmp_path, tmp_path)


def test_existing_output_is_kept_without_force(tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "precious.txt").write_text("kept")
    result = CliRunner().invoke(app, ["checkpoint", "import", str(tmp_path / "x.pth"), str(tmp_path / "ours")])
    assert result.exit_code == 2
    assert "--force" in result.output
    assert (tmp_path / "ours" / "precious.txt").read_text() == "kept"


def test_a_checkpoint_loads_as_it_was_saved(tiny_checkpoint):
    first, second = load_checkpoint(tiny_checkpoint), load_checkpoint(tiny_checkpoint)
    assert first.model_id == second.model_id
    assert first.model_id.startswith("tiny-")
    assert len(first.model_id) == len("tiny-") + 12
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def copied(checkpoint, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_changed_card_changes_the_model_id(tiny_checkpoint, tmp_path):
    folder = copied(tiny_checkpoint, tmp_path)
    card = json.loads((folder / "model_card.json").read_text())
    (folder / "model_card.json").write_text(json.dumps(card | {"metrics": {"cider": 1}}))
    assert load_checkpoint(folder).model_id != load_checkpoint(tiny_checkpoint).model_id


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"\x00" * 200, "model.safetensors: damaged or not safetensors"),
        ("model.safetensors", None, "has no model.safetensors"),
        ("model_card.json", b"{", "not readable as JSON"),
        ("model_card.json", b"[]", "expected the card of a captioner"),
        ("model_card.json", b'{"kind": "captioner", "format_version": 99}', "format_version 99"),
        ("vocabulary.txt", b"<pad>\n<unk>\n<sos>\n<eos>\n", "4 words, but"),
        ("vocabulary.txt", b"a\nb\n", "a vocabulary starts with"),
    ],
)
def test_a_damaged_checkpoint_says_what_is_wrong(tiny_checkpoint, tmp_path, file, content, message):
    folder = copied(tiny_checkpoint, tmp_path)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_a_card_that_claims_huge_layers_is_refused_before_memory_is_taken(tiny_checkpoint, tmp_path):
    folder = copied(tiny_checkpoint, tmp_path)
    card = json.loads((folder / "model_card.json").read_text())
    card["model"] |= {"hidden_dim": 1_000_000, "audio_embedding_dim": 1_000_000}
    (folder / "model_card.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="hidden_dim=1000000"):
        load_checkpoint(folder)


def test_weights_with_nan_are_refused(tiny_checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copied(tiny_checkpoint, tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["audio_linear.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"audio_linear\.bias holds NaN"):
        load_checkpoint(folder)


def test_show_prints_the_card(tiny_checkpoint):
    result = CliRunner().invoke(app, ["checkpoint", "show", str(tiny_checkpoint)])
    assert result.exit_code == 0
    assert "tiny-" in result.output
    assert "fusion: attention" in result.output
