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

    return CaptioningConfig(catalogue=str(DEMO_CATALOGUE), output=output, gpus=0, max_error_rate=1.0)


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
    same = ("save_features", "max_chunks", "decode_only_needed", "precision", "match_by", "group_by", "min_tag_score")
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


def small_experiment(dataset: Path, output: Path) -> "ExperimentConfig":
    """Repeat the paper's study on two CPU cores: narrower networks, fewer epochs, a higher learning rate.

    Every system keeps its architecture; what shrinks are widths (audio networks to a quarter or less, hidden
    units to 128, the baseline's GRUs to 64), epochs (40; 12 where the audio network is trained along) and the
    excerpt of such training (6 s). Learning rate 4e-3 makes up for the fewer steps.
    """
    from muscaps.config import ExtractorConfig, ModelConfig
    from muscaps.training.captioner_config import CaptionTrainingConfig
    from muscaps.training.tagger_config import TaggingConfig
    from pipeline.paper.plan import ExperimentConfig

    return ExperimentConfig(
        dataset=dataset,
        output=output,
        musicnn_config=ExtractorConfig(num_channels=32, frontend_scale=0.25),
        hcnn_config=ExtractorConfig(name="hcnn", num_channels=16),
        pretraining=TaggingConfig(max_epochs=8, excerpts_per_clip=1),
        training=CaptionTrainingConfig(
            learning_rate=4e-3,
            max_epochs=40,
            patience=6,
            excerpt_seconds=6.0,
            validation_tracks=200,
            validation_chunks=4,
        ),
        scratch_max_epochs=12,
        model=ModelConfig(hidden_dim=128, audio_embedding_dim=128, word_embedding_dim=100, attention_dim=128),
        dcase_hidden_dim=64,
    )
