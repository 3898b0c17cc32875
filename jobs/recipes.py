"""Named run configurations, as functions."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.captioning import CaptioningConfig
    from pipeline.paper.plan import ExperimentConfig

DEMO_CATALOGUE = Path(__file__).parent / "demo_tracks" / "catalogue.csv"
"""The bundled tracks; their licences are in the same folder."""


def demo(output: str) -> "CaptioningConfig":
    """Caption the bundled tracks with the bundled checkpoint."""
    from pipeline.captioning import CaptioningConfig

    return CaptioningConfig(catalogue=str(DEMO_CATALOGUE), output=output, effort="thorough", gpus=0, max_error_rate=1.0)


def retry_failed(
    catalogue: str,
    output: str,
    *,
    checkpoint: str | None = None,
    address: str | None = None,
    gpus: int | None = None,
) -> "CaptioningConfig":
    """Caption the failed tracks of an output again, with the settings of its last run.

    Raises:
        ValueError: No run has written to the output.
    """
    from muscaps.config import DecodingOptions
    from pipeline.captioning import CaptioningConfig
    from pipeline.output import runs

    record = runs.last_run(output)
    if record is None:
        raise ValueError(f"{output}: no run has written there, so nothing has failed; use `muscaps caption`")
    before = record["config"]
    same = (
        "save_features",
        "effort",
        "max_chunks",
        "decode_only_needed",
        "precision",
        "match_by",
        "group_by",
        "min_tag_score",
    )
    return CaptioningConfig(
        catalogue=catalogue,
        output=output,
        checkpoint=checkpoint or before["checkpoint"],
        options=DecodingOptions(**before["options"]),
        **{name: before[name] for name in same if name in before},  # older records lack some
        only_failed=True,
        max_error_rate=1.0,
        address=address,
        gpus=gpus,
    )


def paper_experiment(dataset: Path, output: Path) -> "ExperimentConfig":
    """Repeat the paper's study at the paper's sizes (section IV-B); meant for GPUs."""
    from pipeline.paper.plan import ExperimentConfig

    return ExperimentConfig(dataset=dataset, output=output)


def cpu_experiment(dataset: Path, output: Path) -> "ExperimentConfig":
    """Repeat the paper's study on CPU cores: smaller captioners, and smaller audio networks where they are trained.

    Captioners have half the paper's units and batches of 64 instead of 16, which makes an epoch four times as fast, and
    the paper's epochs and patience. Smaller are also the networks that are pre-trained or trained from random weights
    (`ours` and `hcnn`), and the baseline's GRUs, which read means over 1.02 s: over five epochs they learned as much as
    from means over 0.26 s, in a quarter of the time. Without pre-training the network is that of `ours`, on excerpts of
    9 s instead of 20. Validation reads 200 tracks. The learning rate is chosen from two: with `ours`, 1e-3 took 62
    epochs where 3e-3 took 40, for a higher validation loss; the paper's 1e-4 would take many more.
    """
    from muscaps.config import ExtractorConfig, ModelConfig
    from muscaps.training.captioner_config import CaptionTrainingConfig
    from muscaps.training.tagger_config import TaggingConfig
    from pipeline.paper.plan import ExperimentConfig

    return ExperimentConfig(
        dataset=dataset,
        output=output,
        ours_config=ExtractorConfig(num_channels=32, frontend_scale=0.05),
        hcnn_config=ExtractorConfig(name="hcnn", num_channels=16),
        scratch="ours",
        pretraining=TaggingConfig(max_epochs=10, excerpts_per_clip=1),
        training=CaptionTrainingConfig(batch_size=64, excerpt_seconds=9.0, validation_tracks=200, validation_chunks=7),
        model=ModelConfig(hidden_dim=128, audio_embedding_dim=128, attention_dim=128),
        learning_rates=(3e-3, 1e-2),
        dcase_hidden_dim=64,
        dcase_frames_per_step=32,
    )


def small_experiment(dataset: Path, output: Path) -> "ExperimentConfig":
    """Run all cells of the paper's study in minutes, to try it: tiny networks, few epochs, two seeds."""
    from muscaps.config import ExtractorConfig, ModelConfig
    from muscaps.training.captioner_config import CaptionTrainingConfig
    from muscaps.training.tagger_config import TaggingConfig
    from pipeline.paper.plan import ExperimentConfig

    return ExperimentConfig(
        dataset=dataset,
        output=output,
        musicnn_config=ExtractorConfig(num_channels=16, frontend_scale=0.1),
        ours_config=ExtractorConfig(num_channels=8, frontend_scale=0.05),
        hcnn_config=ExtractorConfig(name="hcnn", num_channels=4),
        seeds=(0, 1),
        pretraining=TaggingConfig(max_epochs=4, excerpts_per_clip=1, min_tag_count=4),
        training=CaptionTrainingConfig(
            max_epochs=30, patience=4, excerpt_seconds=3.0, validation_tracks=40, validation_chunks=2
        ),
        learning_rates=(3e-3, 1e-2),
        scratch_max_epochs=4,
        model=ModelConfig(hidden_dim=64, audio_embedding_dim=64, word_embedding_dim=32, attention_dim=64),
        dcase_hidden_dim=16,
        num_queries=40,
    )
