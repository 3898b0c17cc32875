"""The plan of the paper's experiments: systems, settings and cells (paper section IV)."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from muscaps.config import LOG_MEL, ExtractorConfig, FusionName, ModelConfig
from muscaps.evaluation.caption_text import ConventionName
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.tagger_config import TaggingConfig
from pipeline.cluster.address import check_address

SystemName = Literal["dcase", "musicnn", "ours", "hcnn", "scratch", "late", "attention"]
NetworkName = Literal["musicnn", "ours", "hcnn"]
SubsetName = Literal["test", "real"]
"""The test split, or the real tracks of it."""


NETWORK_LABELS: dict[NetworkName, str] = {"musicnn": "musicnn", "ours": "second musicnn", "hcnn": "Harmonic CNN"}
NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)
CONVENTIONS: tuple[ConventionName, ...] = ("default", "published")


@dataclass(frozen=True, kw_only=True)
class System:
    """A row of the paper's tables."""

    label: str
    """Name of the system in the tables."""
    fusion: FusionName
    """Where audio and words are fused."""
    extractor: Literal["musicnn", "ours", "hcnn", "log_mel", "ablation", "scratch"]
    """The audio network; `ablation` and `scratch` are chosen by the `ExperimentConfig` fields of these names."""
    pretrained: bool
    """Whether the audio network was trained on tags and is frozen."""
    beam_size: int
    """The paper's beam size for this system (Table II)."""


SYSTEMS: dict[SystemName, System] = {
    "dcase": System(label="DCASE baseline", fusion="dcase", extractor="log_mel", pretrained=False, beam_size=3),
    "musicnn": System(label="MusCaps-Musicnn", fusion="early", extractor="musicnn", pretrained=True, beam_size=5),
    "ours": System(label="MusCaps, second musicnn", fusion="early", extractor="ours", pretrained=True, beam_size=5),
    "hcnn": System(label="MusCaps-HCNN", fusion="early", extractor="hcnn", pretrained=True, beam_size=5),
    "scratch": System(label="w/o pre-training", fusion="early", extractor="scratch", pretrained=False, beam_size=5),
    "late": System(label="late fusion", fusion="late", extractor="ablation", pretrained=True, beam_size=3),
    "attention": System(label="attention", fusion="attention", extractor="ablation", pretrained=True, beam_size=3),
}


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Settings of the experiments; the defaults are the paper's."""

    dataset: Path
    """Prepared dataset with audio, and with tags if an extractor is pre-trained on it."""
    output: Path
    """Folder of cells, tables and figure."""
    facts: Path | None = None
    """Table with `track_id`, the facts `instruments`, `feel`, `genre` and `bpm`, and `origin`: tracks whose origin is
    `real` have tables of their own. None to compare captions with references only."""
    musicnn: Path | None = None
    """Pre-trained musicnn, as an extractor or captioner checkpoint; None to pre-train one on the dataset's tags."""
    ours: Path | None = None
    """A second pre-trained musicnn; None to pre-train one."""
    hcnn: Path | None = None
    """Pre-trained Harmonic CNN; None to pre-train one."""
    musicnn_config: ExtractorConfig = field(default_factory=ExtractorConfig)
    """Architecture of musicnn, if it is pre-trained here."""
    ours_config: ExtractorConfig = field(default_factory=ExtractorConfig)
    """Architecture of the second musicnn, if it is pre-trained here."""
    hcnn_config: ExtractorConfig = field(default_factory=lambda: ExtractorConfig(name="hcnn", num_channels=128))
    """Architecture of Harmonic CNN, if it is pre-trained here."""
    ablation: NetworkName = "musicnn"
    """The audio network of Tables II and III."""
    scratch: NetworkName = "musicnn"
    """The network whose architecture is trained from random weights; its system is the pre-trained counterpart."""
    systems: tuple[SystemName, ...] = tuple(SYSTEMS)
    """Systems to run."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every system is trained once per seed (section IV-D)."""
    pretraining: TaggingConfig = field(default_factory=TaggingConfig)
    """Settings of pre-training."""
    training: CaptionTrainingConfig = field(default_factory=CaptionTrainingConfig)
    """Settings of the training of captioners; seed and extractor mode are set per system."""
    learning_rates: tuple[float, ...] = ()
    """Rates tried with the first seed of each system; the one with the lowest validation loss is used for the other
    seeds. Empty for `training.learning_rate` alone."""
    beam_sizes: tuple[int, ...] = (1, 3, 5)
    """Beam sizes that the test split is captioned with, 1 for greedy search."""
    scratch_max_epochs: int | None = None
    """Maximum epochs of the system without pre-training, whose epochs are slow; None for `training.max_epochs`."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Widths of every MusCaps model; extractor, fusion and vocabulary are set per system."""
    dcase_hidden_dim: int = 256
    """Units of the baseline's GRUs."""
    dcase_frames_per_step: int = 1
    """Frames of 32 ms that are averaged to one step of the baseline's GRUs."""
    num_queries: int = 100
    """Queries of Table III."""
    max_words: int = 22
    """Longest caption in words."""
    address: str | None = None
    """Ray cluster; None starts Ray here."""
    num_cpus: int | None = None
    """CPUs of a Ray started here; one cell runs on each."""

    def __post_init__(self) -> None:
        check_address(self.address)
        unknown = [name for name in self.systems if name not in SYSTEMS]
        if unknown or not self.systems:
            raise ValueError(f"systems must be among {', '.join(SYSTEMS)}, not {', '.join(unknown) or 'none at all'}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be different numbers, at least one, not {self.seeds}")
        for name in ("ablation", "scratch"):
            if getattr(self, name) not in NETWORKS:
                raise ValueError(f"{name} must be one of {', '.join(NETWORKS)}, not {getattr(self, name)!r}")
        if {self.musicnn_config.name, self.ours_config.name} != {"musicnn"} or self.hcnn_config.name != "hcnn":
            raise ValueError("musicnn_config and ours_config must name a musicnn, and hcnn_config an hcnn")
        if 1 not in self.beam_sizes or len(set(self.beam_sizes)) != len(self.beam_sizes) or min(self.beam_sizes) < 1:
            raise ValueError(f"beam_sizes must be different numbers and contain 1, not {self.beam_sizes}")
        if any(rate <= 0 for rate in self.learning_rates) or len(set(self.rates)) != len(self.rates):
            raise ValueError(f"learning_rates must be different positive numbers, not {self.learning_rates}")

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to choose from."""
        return self.learning_rates or (self.training.learning_rate,)

    def extractor_of(self, system: SystemName) -> Literal["musicnn", "ours", "hcnn", "log_mel"]:
        """Return the audio network of a system."""
        name = SYSTEMS[system].extractor
        return self.ablation if name == "ablation" else self.scratch if name == "scratch" else name

    @property
    def log_mel(self) -> ExtractorConfig:
        """The front end of the baseline."""
        return replace(LOG_MEL, frames_per_step=self.dcase_frames_per_step)

    @property
    def dcase_model(self) -> ModelConfig:
        """The baseline, whose vocabulary is set from the dataset."""
        width = self.dcase_hidden_dim
        return replace(self.model, extractor=self.log_mel, fusion="dcase", hidden_dim=width, audio_embedding_dim=width)

    def architecture_of(self, network: NetworkName) -> ExtractorConfig:
        """Return the architecture of an audio network, if it is pre-trained here."""
        return {"musicnn": self.musicnn_config, "ours": self.ours_config, "hcnn": self.hcnn_config}[network]

    def given(self, network: NetworkName) -> Path | None:
        """Return the checkpoint of a pre-trained audio network; None if it is pre-trained here."""
        return {"musicnn": self.musicnn, "ours": self.ours, "hcnn": self.hcnn}[network]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A piece of work with a result on disk."""

    name: str
    """Unique name: the work and the seed."""
    kind: Literal["extractor", "features", "trial", "captioner"]
    """Kind of work; a trial trains a system with one of several learning rates, a captioner has captions as well."""
    subject: str
    """The audio network, or the system."""
    seed: int = 0
    """Seed of a trial or captioner; 0 for other cells."""
    learning_rate: float | None = None
    """Learning rate of a trial; None for other cells."""
    needs: tuple[str, ...] = ()
    """Names of the cells that must be finished before."""


ORDER: tuple[SystemName, ...] = ("musicnn", "late", "attention", "ours", "hcnn", "scratch", "dcase")
"""Systems from the cheapest, so that an interrupted experiment has whole rows of the tables."""


def plan_cells(config: ExperimentConfig) -> list[Cell]:
    """Return the cells of the experiment, each after those that it needs."""
    cells: dict[str, Cell] = {}
    for system in sorted(config.systems, key=ORDER.index):
        audio, trials = _audio_cells(config, system), trial_cells(config, system)
        needs = tuple(cell.name for cell in (*audio[-1:], *trials))
        captioners = [
            Cell(name=f"{system}-{seed}", kind="captioner", subject=system, seed=seed, needs=needs)
            for seed in config.seeds
        ]
        cells |= {cell.name: cell for cell in (*audio, *trials, *captioners)}
    return list(cells.values())


def trial_cells(config: ExperimentConfig, system: SystemName) -> list[Cell]:
    """Return the trainings of a system's first seed, one per learning rate; none for a single rate."""
    if len(config.rates) == 1:
        return []
    return [
        Cell(
            name=f"{system}-{config.seeds[0]}-{rate:g}",
            kind="trial",
            subject=system,
            seed=config.seeds[0],
            learning_rate=rate,
            needs=tuple(cell.name for cell in _audio_cells(config, system)[-1:]),
        )
        for rate in config.rates
    ]


def _audio_cells(config: ExperimentConfig, system: SystemName) -> list[Cell]:
    """Return the cells of the audio features of a system."""
    network = config.extractor_of(system)
    if system == "scratch":
        return []
    if network == "log_mel":
        return [Cell(name="features-log_mel", kind="features", subject=network)]
    extractor = Cell(name=f"extractor-{network}", kind="extractor", subject=network)
    return [
        extractor,
        Cell(name=f"features-{network}", kind="features", subject=network, needs=(extractor.name,)),
    ]
