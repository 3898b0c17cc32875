"""Training of a tagger in this process, without Ray."""

from pathlib import Path

from muscaps.config import ExtractorConfig
from muscaps.evaluation.tag_metrics import TaggingScores
from muscaps.training.checkpoints import save_tagger
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.loop import TrainingLoop
from muscaps.training.tagger_config import TaggingConfig
from muscaps.training.tagger_objective import TaggerObjective


def train_tagger(
    dataset: PreparedDataset,
    output: Path,
    extractor_config: ExtractorConfig = ExtractorConfig(),  # noqa: B008  (frozen)
    config: TaggingConfig = TaggingConfig(),  # noqa: B008  (frozen)
    *,
    name: str = "muscaps-tagger",
) -> TaggingScores:
    """Train a tagger, or resume from the state that an earlier call wrote to `output`.

    Args:
        dataset: A prepared dataset with audio and tags.
        output: Directory of `extractor` and `state`, written after every epoch.
        extractor_config: The network.
        config: Settings of the training.
        name: Short name, the first part of the extractor's `model_id`.

    Returns:
        The scores of the last validation.
    """
    loop = TrainingLoop(TaggerObjective(dataset, extractor_config, config))

    def save() -> TaggingScores:
        scores = loop.objective.latest or loop.objective.validation_scores()
        save_tagger(loop, output / "extractor", scores, name=name)
        return scores

    loop.train_with_state(output / "state", save)
    return save()
