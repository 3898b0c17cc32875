"""Published weights of the original musicnn: PyPI's `musicnn` 0.1.0, as the wheel or unpacked.

The package holds two trained networks of the kind `MusicnnOriginal` builds, each with 50 tags: `MTT_musicnn`
(MagnaTagATune) and `MSD_musicnn` (Million Song Dataset). Their values are read from TensorFlow checkpoints without
TensorFlow; nothing is unpickled and no code of the package is run. The package's licence is ISC.
"""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from muscaps.checkpoint import CheckpointError, fill
from muscaps.config import ExtractorConfig, LayersName
from muscaps.models.musicnn_original import MusicnnOriginal
from muscaps.tensorflow_checkpoint import TensorflowCheckpointError, read_tensors

INDEX, DATA = ".index", ".data-00000-of-00001"
MAX_FILE_BYTES = 256 * 1024**2  # the published files have 10 MB

MTT_TAGS = tuple(
    "guitar,classical,slow,techno,strings,drums,electronic,rock,fast,piano,ambient,beat,violin,vocal,synth,female,"
    "indian,opera,male,singing,vocals,no vocals,harpsichord,loud,quiet,flute,woman,male vocal,no vocal,pop,soft,sitar,"
    "solo,man,classic,choir,voice,new age,dance,male voice,female vocal,beats,harp,cello,no voice,weird,country,metal,"
    "female voice,choral".split(",")
)
"""Outputs of the MagnaTagATune network, in order."""
MSD_TAGS = tuple(
    "rock,pop,alternative,indie,electronic,female vocalists,dance,00s,alternative rock,jazz,beautiful,metal,chillout,"
    "male vocalists,classic rock,soul,indie rock,Mellow,electronica,80s,folk,90s,chill,instrumental,punk,oldies,blues,"
    "hard rock,ambient,acoustic,experimental,female vocalist,guitar,Hip-Hop,70s,party,country,easy listening,sexy,"
    "catchy,funk,electro,heavy metal,Progressive rock,60s,rnb,indie pop,sad,House,happy".split(",")
)
"""Outputs of the Million Song Dataset network, in order."""
MODELS: Mapping[str, tuple[str, ...]] = {"MTT_musicnn": MTT_TAGS, "MSD_musicnn": MSD_TAGS}

_CONVOLUTIONS = (
    *(f"timbral.{i}.conv" for i in range(2)),
    *(f"rhythm.{i}.conv" for i in range(3)),
    *(f"middle.{i}.conv" for i in range(3)),
)
_NORMALISATIONS = (
    "spectrogram_norm",
    *(name.replace("conv", "norm") for name in _CONVOLUTIONS),
    "pool_norm",
    "dense_norm",
)
_STATISTICS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedMusicnn:
    """A network as published."""

    extractor: MusicnnOriginal
    """In evaluation mode."""
    config: ExtractorConfig
    head: dict[str, Tensor]
    """`weight`, (tags, 200), and `bias`, (tags,): logits of the tags from the penultimate layer."""
    tags: tuple[str, ...]
    """Names of the head's outputs."""
    licence: str
    """The package's licence text; empty where the folder holds none."""


def is_musicnn(source: Path) -> bool:
    """Tell whether a path is a wheel, or a folder with TensorFlow checkpoints of musicnn in it."""
    return source.suffix == ".whl" or (source.is_dir() and any(_folders(source, name) for name in MODELS))


def import_musicnn(source: Path, model: str = "MTT_musicnn", layers: LayersName = "penultimate") -> PublishedMusicnn:
    """Read a published musicnn.

    Args:
        source: The wheel, or a folder it was unpacked to.
        model: `MTT_musicnn` or `MSD_musicnn`.
        layers: What a chunk's feature is.

    Raises:
        CheckpointError: Naming the file and what did not fit.
    """
    if model not in MODELS:
        raise CheckpointError(f"{source}: model {model!r} is none of {', '.join(MODELS)}")
    read, licence = _reader(source, model)
    try:
        tensors = read_tensors(read(INDEX), read(DATA))
    except TensorflowCheckpointError as error:
        raise CheckpointError(f"{source}: {model}: {error}") from error
    try:
        weights, head = _renamed(tensors)
    except KeyError as error:
        raise CheckpointError(f"{source}: {model} holds no variable {error.args[0]!r}") from error
    config = ExtractorConfig(name="musicnn_original", num_channels=len(weights["middle.0.conv.bias"]), layers=layers)
    extractor = MusicnnOriginal(config.num_channels, config.layers)
    fill(extractor, weights, f"{source}: {model}")
    if len(head["bias"]) != len(MODELS[model]):
        raise CheckpointError(f"{source}: {model} has {len(head['bias'])} outputs, not {len(MODELS[model])}")
    return PublishedMusicnn(extractor=extractor.eval(), config=config, head=head, tags=MODELS[model], licence=licence)


def _folders(source: Path, model: str) -> list[Path]:
    """Places in an unpacked wheel where a model's files may be."""
    places = [source / "musicnn" / model, source / model, *([source] if source.name == model else [])]
    return [place for place in places if (place / INDEX).is_file()]


def _reader(source: Path, model: str) -> tuple[Callable[[str], bytes], str]:
    """Return a function that reads a model's file by its last part, and the licence text."""
    if source.is_dir():
        folders = _folders(source, model)
        if not folders:
            raise CheckpointError(f"{source}: holds no {model}/{INDEX}")
        notices = sorted(source.glob("musicnn-*.dist-info/LICENSE*"))
        licence = notices[0].read_text(encoding="utf-8", errors="replace") if notices else ""
        return lambda name: _checked(folders[0] / name), licence
    try:
        with zipfile.ZipFile(source) as wheel:
            members = {PurePosixPath(info.filename): info for info in wheel.infolist()}
            wanted = {name: members.get(PurePosixPath("musicnn", model, name)) for name in (INDEX, DATA)}
            contents: dict[str, bytes] = {}
            for name, info in wanted.items():
                if info is None or info.file_size > MAX_FILE_BYTES:
                    raise CheckpointError(f"{source}: holds no musicnn/{model}/{name} of a usable size")
                contents[name] = wheel.read(info)
            found = sorted(path for path in members if path.name.startswith("LICENSE") and len(path.parts) == 2)
            licence = wheel.read(members[found[0]]).decode("utf-8", "replace") if found else ""
    except FileNotFoundError as error:
        raise CheckpointError(f"{source}: no such file") from error
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{source}: not readable as a wheel ({error})") from error
    return contents.__getitem__, licence


def _checked(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise CheckpointError(f"{path}: more than {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: not readable ({error})") from error


def _renamed(
    tensors: Mapping[str, npt.NDArray[np.float32]],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Map published variables to the extractor's parameters, and the output layer to the head's.

    Raises:
        KeyError: A variable is missing.
    """
    weights: dict[str, Tensor] = {}
    for index, name in enumerate(_NORMALISATIONS):
        scope = f"batch_normalization_{index}" if index else "batch_normalization"
        for theirs, ours in _STATISTICS.items():
            weights[f"{name}.{ours}"] = torch.from_numpy(tensors[f"{scope}/{theirs}"])
        weights[f"{name}.num_batches_tracked"] = torch.tensor(0)
    for index, name in enumerate(_CONVOLUTIONS):
        scope = f"conv2d_{index}" if index else "conv2d"
        kernel = torch.from_numpy(tensors[f"{scope}/kernel"])  # (frames, bands or channels, 1, out)
        kernel = kernel[:, :, 0].permute(2, 1, 0)
        weights[f"{name}.weight"] = (kernel if name.startswith("middle") else kernel[:, None]).contiguous()
        weights[f"{name}.bias"] = torch.from_numpy(tensors[f"{scope}/bias"])
    weights["dense.weight"] = torch.from_numpy(tensors["dense/kernel"]).T.contiguous()
    weights["dense.bias"] = torch.from_numpy(tensors["dense/bias"])
    head = {
        "weight": torch.from_numpy(tensors["dense_1/kernel"]).T.contiguous(),
        "bias": torch.from_numpy(tensors["dense_1/bias"]),
    }
    return weights, head
