"""The plan of the paper's experiments: systems, settings and cells (paper section IV)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from muscaps.config import ExtractorConfig, FusionName, ModelConfig
from muscaps.evaluation.caption_text import ConventionName
from muscaps.training.captioner_config import CaptionTrainingConfig
from muscaps.training.tagger_config import TaggingConfig
from pipeline.cluster.address import check_address

SystemName = Literal["dcase", "musicnn", "hcnn", "scratch", "late", "attention"]


CONVENTIONS: tuple[ConventionName, ...] = ("default", "published")


@dataclass(frozen=True, kw_only=True)
class System:
    """A row of the paper's tables."""

    label: str
    """Name of the system in the tables."""
    fusion: FusionName
    """Where audio and words are fused."""
    extractor: Literal["musicnn", "hcnn", "log_mel", "ablation"]
    """The audio network; `ablation` is the network of the ablation study, see `ExperimentConfig.ablation`."""
    pretrained: bool
    """Whether the audio network was trained on tags and is frozen."""
    beam_size: int
    """The paper's beam size for this system (Table II)."""


SYSTEMS: dict[SystemName, System] = {
    "dcase": System(label="DCASE baseline", fusion="dcase", extractor="log_mel", pretrained=False, beam_size=3),
    "musicnn": System(label="MusCaps-Musicnn", fusion="early", extractor="musicnn", pretrained=True, beam_size=5),
    "hcnn": System(label="MusCaps-HCNN", fusion="early", extractor="hcnn", pretrained=True, beam_size=5),
    "scratch": System(label="w/o pre-training", fusion="early", extractor="ablation", pretrained=False, beam_size=5),
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
    musicnn: Path | None = None
    """Pre-trained musicnn, as an extractor or captioner checkpoint; None to pre-train one on the dataset's tags."""
    hcnn: Path | None = None
    """Pre-trained Harmonic CNN; None to pre-train one."""
    musicnn_config: ExtractorConfig = field(default_factory=ExtractorConfig)
    """Architecture of musicnn, if it is pre-trained here."""
    hcnn_config: ExtractorConfig = field(default_factory=lambda: ExtractorConfig(name="hcnn", num_channels=128))
    """Architecture of Harmonic CNN, if it is pre-trained here."""
    ablation: Literal["musicnn", "hcnn"] = "musicnn"
    """The audio network of Tables II and III."""
    systems: tuple[SystemName, ...] = tuple(SYSTEMS)
    """Systems to run."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Every system is trained once per seed (section IV-D)."""
    pretraining: TaggingConfig = field(default_factory=TaggingConfig)
    """Settings of pre-training."""
    training: CaptionTrainingConfig = field(default_factory=CaptionTrainingConfig)
    """Settings of the training of captioners; seed and extractor mode are set per system."""
    scratch_max_epochs: int | None = None
    """Maximum epochs of the system without pre-training, whose epochs are slow; None for `training.max_epochs`."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Widths of every MusCaps model; extractor, fusion and vocabulary are set per system."""
    dcase_hidden_dim: int = 256
    """Units of the baseline's GRUs."""
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
        if self.ablation not in ("musicnn", "hcnn"):
            raise ValueError(f"ablation must be 'musicnn' or 'hcnn', not {self.ablation!r}")
        if self.musicnn_config.name != "musicnn" or self.hcnn_config.name != "hcnn":
            raise ValueError("musicnn_config and hcnn_config must name a musicnn and an hcnn")

    def extractor_of(self, system: SystemName) -> Literal["musicnn", "hcnn", "log_mel"]:
        """Return the audio network of a system."""
        name = SYSTEMS[system].extractor
        return self.ablation if name == "ablation" else name


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A piece of work with a result on disk."""

    name: str
    """Unique name: the work and the seed."""
    kind: Literal["extractor", "features", "captioner"]
    """Kind of work."""
    subject: str
    """The audio network, or the system."""
    seed: int = 0
    """Seed of a captioner; 0 for other cells."""
    needs: tuple[str, ...] = ()
    """Names of the cells that must be finished before."""


def plan_cells(config: ExperimentConfig) -> list[Cell]:
    """Return the cells of the experiment, each after those that it needs."""
    networks = {config.extractor_of(name) for name in config.systems if SYSTEMS[name].pretrained or name == "dcase"}
    cells = [
        Cell(name=f"extractor-{network}", kind="extractor", subject=network)
        for network in sorted(networks - {"log_mel"})
    ]
    cells += [
        Cell(
            name=f"features-{network}",
            kind="features",
            subject=network,
            needs=() if network == "log_mel" else (f"extractor-{network}",),
        )
        for network in sorted(networks)
    ]
    # Ordered by seed, so that an interrupted experiment has all rows with one seed instead of one row with all seeds.
    # The slowest cells of a seed come first, so that they do not run alone at the end.
    slow_first = sorted(
        config.systems, key=lambda name: ("scratch", "dcase").index(name) if name in ("scratch", "dcase") else 2
    )
    for seed in config.seeds:
        cells += [
            Cell(
                name=f"{system}-{seed}",
                kind="captioner",
                subject=system,
                seed=seed,
                needs=() if system == "scratch" else (f"features-{config.extractor_of(system)}",),
            )
            for system in slow_first
        ]
    return cells
