"""The original musicnn: parity with the published program, its fast version, its import, the combined extractor.

Parity with published weights needs them: the MagnaTagATune network is part of the bundled checkpoint; both networks are
compared where MUSCAPS_MUSICNN names the wheel of musicnn 0.1.0 or the folder it was unpacked to.
"""

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from jobs.cli import app
from muscaps.checkpoint import BUNDLED, CheckpointError, load_checkpoint, load_extractor
from muscaps.config import ExtractorConfig
from muscaps.inference import prepare_extractor
from muscaps.models.architectures import build_extractor
from muscaps.models.combined_extractor import CombinedExtractor
from muscaps.models.musicnn_original import NUM_FRAMES, MusicnnOriginal, poolings
from muscaps.published_musicnn import MODELS, import_musicnn
from muscaps.tensorflow_checkpoint import TensorflowCheckpointError, read_tensors
from tests.data.parity.musicnn_signals import SECONDS, signal
from tests.published_answers import FOLDER
from tests.tensorflow_files import tensorflow_checkpoint

ANSWERS = np.load(FOLDER / "musicnn_original.npz")
WHEEL = os.environ.get("MUSCAPS_MUSICNN")


def patches(network, seed):
    """Spectrogram of a whole signal in patches of 187 frames, as the published program cuts it."""
    spectrogram = network.spectrogram(torch.from_numpy(signal(SECONDS[seed], seed))[None])
    count = spectrogram.shape[-1] // NUM_FRAMES
    return torch.cat([spectrogram[..., i * NUM_FRAMES : (i + 1) * NUM_FRAMES] for i in range(count)])


def answers_of(network, head, seed):
    """Taggram, maxima, means and penultimate layer of a signal."""
    with torch.inference_mode():
        maps = network.frames(patches(network, seed))
        penultimate = network.penultimate(poolings(maps))
        taggram = torch.sigmoid(penultimate @ head["weight"].T + head["bias"])
    return {
        "taggram": taggram.numpy(),
        "max_pool": maps.amax(dim=-1).numpy(),
        "mean_pool": maps.mean(dim=-1).numpy(),
        "penultimate": penultimate[:1].numpy(),  # the published program repeats the first patch's
    }


def assert_as_published(found, model, seed):
    for kind, values in found.items():
        expected = ANSWERS[f"{model}_{seed}_{kind}"]
        assert values.shape == expected.shape
        tolerance = 1e-5 if kind == "taggram" else 1e-4 * np.abs(expected).max()
        assert np.abs(values - expected).max() <= tolerance, kind


def random_network(layers="penultimate", seed=0):
    """A network with random weights whose normalisations have scales of both signs."""
    torch.manual_seed(seed)
    network = MusicnnOriginal(layers=layers).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.weight.normal_()
                module.bias.normal_(std=0.1)
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
        network.spectrogram_norm.weight.abs_()
    return network


def published_names(network, num_tags):
    """A network's weights under the names of the published program, with a random head."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    generator = np.random.default_rng(0)
    tensors = {
        "dense_1/kernel": generator.standard_normal((200, num_tags)),
        "dense_1/bias": generator.standard_normal(num_tags),
        "dense/kernel": state["dense.weight"].T,
        "dense/bias": state["dense.bias"],
        "dense/kernel/Adam": np.zeros((1506, 200)),
    }
    convolutions = [
        f"{part}.{i}" for part, count in (("timbral", 2), ("rhythm", 3), ("middle", 3)) for i in range(count)
    ]
    for index, name in enumerate(convolutions):
        scope = f"conv2d_{index}" if index else "conv2d"
        weight = state[f"{name}.conv.weight"]
        flat = weight if weight.ndim == 3 else weight[:, 0]  # (out, bands or channels, frames)
        tensors[f"{scope}/kernel"] = flat.transpose(2, 1, 0)[:, :, None]
        tensors[f"{scope}/bias"] = state[f"{name}.conv.bias"]
    norms = ["spectrogram_norm", *(f"{name}.norm" for name in convolutions), "pool_norm", "dense_norm"]
    for index, name in enumerate(norms):
        scope = f"batch_normalization_{index}" if index else "batch_normalization"
        for theirs, ours in (("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean")):
            tensors[f"{scope}/{theirs}"] = state[f"{name}.{ours}"]
        tensors[f"{scope}/moving_variance"] = state[f"{name}.running_var"]
    return tensors


@pytest.fixture
def unpacked(tmp_path):
    """An unpacked wheel with one network of random weights, and that network."""
    network = random_network()
    folder = tmp_path / "wheel" / "musicnn" / "MTT_musicnn"
    folder.mkdir(parents=True)
    index, data = tensorflow_checkpoint(published_names(network, 50))
    (folder / ".index").write_bytes(index)
    (folder / ".data-00000-of-00001").write_bytes(data)
    notice = tmp_path / "wheel" / "musicnn-0.1.0.dist-info" / "LICENSE.md"
    notice.parent.mkdir()
    notice.write_text("a licence")
    return tmp_path / "wheel", network


@pytest.mark.parametrize("seed", SECONDS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.skipif(not WHEEL, reason="MUSCAPS_MUSICNN does not name the published weights")
def test_imported_weights_give_the_published_answers(model, seed):
    found = import_musicnn(Path(WHEEL), model)
    assert_as_published(answers_of(found.extractor, found.head, seed), model, seed)


@pytest.mark.parametrize("seed", SECONDS)
def test_the_bundled_network_gives_the_published_answers(seed):
    extractor = load_checkpoint(BUNDLED).model.feature_extractor
    parts = extractor.parts if isinstance(extractor, CombinedExtractor) else [extractor]
    networks = [part for part in parts if isinstance(part, MusicnnOriginal)]
    if not networks:
        pytest.skip("the bundled checkpoint has no original musicnn")
    head = {name: torch.from_numpy(ANSWERS[f"MTT_head_{name}"]) for name in ("weight", "bias")}
    assert_as_published(answers_of(networks[0], head, seed), "MTT_musicnn", seed)


@pytest.mark.parametrize("layers", ["penultimate", "maxima", "maxima_means"])
def test_the_fast_version_gives_the_same_features(layers):
    network = random_network(layers)
    chunks = torch.from_numpy(signal(9.0, 4)).view(3, -1)
    with torch.inference_mode():
        expected, found = network(chunks), prepare_extractor(network)(chunks)
    assert expected.shape == (3, network.feature_dim)
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_a_combined_extractor_concatenates_its_parts():
    torch.manual_seed(1)
    parts = (ExtractorConfig(name="musicnn_original"), ExtractorConfig(num_channels=8, frontend_scale=0.1))
    combined = build_extractor(ExtractorConfig(name="combined", parts=parts)).eval()
    chunks = torch.from_numpy(signal(6.0, 5)).view(2, -1)
    with torch.inference_mode():
        expected = torch.cat([part(chunks) for part in combined.parts], dim=1)
        assert torch.equal(combined(chunks), expected)
        prepared = prepare_extractor(combined)
        assert prepared.feature_dim == combined.feature_dim == expected.shape[1]
        assert (prepared(chunks) - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_parts_that_read_other_chunks_cannot_be_combined():
    with pytest.raises(ValueError, match="same chunk length"):
        CombinedExtractor([build_extractor(ExtractorConfig()), build_extractor(ExtractorConfig(name="hcnn"))])


def test_a_combined_configuration_survives_a_card():
    parts = (ExtractorConfig(name="musicnn_original", layers="maxima"), ExtractorConfig())
    config = ExtractorConfig(name="combined", parts=parts)
    assert ExtractorConfig.from_card(asdict(config)) == config


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "combined"},
        {"name": "musicnn", "parts": (ExtractorConfig(),)},
        {"name": "musicnn", "layers": "maxima"},
        {"name": "combined", "parts": (ExtractorConfig(name="hcnn"),)},
    ],
)
def test_impossible_configurations_are_rejected(fields):
    with pytest.raises(ValueError, match=r"parts|layers"):
        ExtractorConfig(**fields)


def test_importing_a_folder_makes_an_extractor_with_tags(unpacked, tmp_path):
    folder, network = unpacked
    done = CliRunner().invoke(app, ["checkpoint", "import", str(folder), str(tmp_path / "out"), "--layers", "maxima"])
    assert done.exit_code == 0, done.output
    extractor, config, card, head = load_extractor(tmp_path / "out")
    assert config.layers == "maxima"
    assert card["tags"][:3] == ["guitar", "classical", "slow"]
    assert len(card["tags"]) == len(head["bias"]) == 50
    assert card["training"]["licence"] == "a licence"
    chunks = torch.from_numpy(signal(3.0, 6))[None]
    with torch.inference_mode():
        assert torch.equal(extractor(chunks), network.frames(network.spectrogram(chunks)).amax(dim=-1))


def test_a_missing_network_is_named(unpacked):
    with pytest.raises(CheckpointError, match="MSD_musicnn"):
        import_musicnn(unpacked[0], "MSD_musicnn")


def test_a_network_of_another_shape_is_refused(unpacked):
    folder, network = unpacked
    index, data = tensorflow_checkpoint(published_names(network, 50) | {"dense/bias": np.zeros(100)})
    (folder / "musicnn" / "MTT_musicnn" / ".index").write_bytes(index)
    (folder / "musicnn" / "MTT_musicnn" / ".data-00000-of-00001").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"dense\.bias is"):
        import_musicnn(folder)


def test_tensors_are_read_by_name_shape_and_value():
    tensors = {f"layer_{i}/kernel": np.arange(2.0 * i).reshape(2, i) for i in range(1, 40)} | {"step": np.float32(3)}
    found = read_tensors(*tensorflow_checkpoint(tensors))
    assert set(found) == set(tensors)
    for name, values in tensors.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("keep", [0, 40, 100])
def test_a_truncated_index_is_refused(keep):
    index, data = tensorflow_checkpoint({"a": np.zeros(3)})
    with pytest.raises(TensorflowCheckpointError, match="table"):
        read_tensors(index[:keep], data)


def test_missing_data_is_refused():
    index, data = tensorflow_checkpoint({"a": np.zeros(3), "b": np.ones(5)})
    with pytest.raises(TensorflowCheckpointError, match="b ends at byte 32 of 28"):
        read_tensors(index, data[:-4])


def test_a_damaged_index_raises_nothing_else():
    index, data = tensorflow_checkpoint({"a": np.zeros(3), "b": np.ones((2, 2))})
    refused = 0
    for place in range(len(index)):
        damaged = index[:place] + bytes([index[place] ^ 0xFF]) + index[place + 1 :]
        try:
            read_tensors(damaged, data)
        except TensorflowCheckpointError:
            refused += 1
    assert refused > len(index) / 4
