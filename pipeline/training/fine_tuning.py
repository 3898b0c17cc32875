"""Fine-tuning around the training: captions to replay; afterwards the blend and the comparison with the start."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from muscaps.captioner import Captioner
from muscaps.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from muscaps.evaluation.comparison import HeldOutTrack, compare
from muscaps.evaluation.split_evaluation import split_features
from muscaps.evaluation.word_pairs import new_word_pairs, word_pairs
from muscaps.models.architectures import build_captioner
from muscaps.training.blending import BlendTrial, blended_weights, choose_blend, try_blend
from muscaps.training.dataset.layout import Example
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.initial_captioner import grow_captioner
from muscaps.vocabulary import tokenize
from muscaps.word_constraints import phrase_occurs

REPLAY, TESTED = "replay.json", "tested.jsonl"
"""In the folder of a training: captions before training by track id, and the captions of the test split."""

logger = logging.getLogger(__name__)


def write_replay(dataset: PreparedDataset, start: Path, output: Path) -> None:
    """Caption every track of a dataset with the captioner to start from; done once for a training."""
    path = output / REPLAY
    if path.exists():
        return
    captioner = Captioner.load(start)
    captions = captioner.caption_features(split_features(captioner, dataset, dataset.examples))
    found = {example.track_id: caption.text for example, caption in zip(dataset.examples, captions, strict=True)}
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)


def read_replay(output: Path) -> dict[str, str]:
    """Return what `write_replay` wrote."""
    found: dict[str, str] = json.loads((output / REPLAY).read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """A fine-tuned captioner, and the one that it started from."""

    dataset: PreparedDataset
    start: Checkpoint
    tuned: Checkpoint
    """As trained."""
    weights_before: Mapping[str, Tensor]
    """Of the start, with the vocabulary of `tuned`."""
    captions_before: Mapping[str, str]
    """Of the start, by track id."""

    def captioner(self, blend: float) -> Captioner:
        """Return the captioner with some blend of the weights."""
        return Captioner(replace(self.tuned, model=self.model(blend)))

    def model(self, blend: float) -> Any:
        """Return a model with some blend of the weights."""
        model = build_captioner(self.tuned.model_config)
        model.load_state_dict(blended_weights(self.weights_before, self.tuned.model.state_dict(), blend))
        return model.eval()

    def trial(self, blend: float) -> BlendTrial:
        """Caption the tracks of the training and validation split, and judge the captions."""
        captioner = self.captioner(blend)
        examples = [example for example in self.dataset.examples if example.split != "test"]
        captions = captioner.caption_features(split_features(captioner, self.dataset, examples))
        before = [self.captions_before[example.track_id] for example in examples]
        return try_blend(
            blend, [caption.text for caption in captions], before, [example.captions for example in examples]
        )

    def tested(self, captioner: Captioner) -> list[HeldOutTrack]:
        """Caption the test split."""
        examples = self.dataset.split("test")
        if not examples:
            return []
        captions = captioner.caption_features(split_features(captioner, self.dataset, examples))
        own = [example for example in self.dataset.examples if example.split == "train"]
        known = word_pairs(
            [text for example in own for text in (*example.captions, self.captions_before[example.track_id])]
        )
        return [
            self._tested_track(example, caption.text, known)
            for example, caption in zip(examples, captions, strict=True)
        ]

    def _tested_track(self, example: Example, after: str, known: set[tuple[str, str]]) -> HeldOutTrack:
        before = self.captions_before[example.track_id]
        return HeldOutTrack(
            track_id=example.track_id,
            references=example.captions,
            before=before,
            after=after,
            new_pairs_before=(new_word_pairs(before, known), len(word_pairs([before]))),
            new_pairs_after=(new_word_pairs(after, known), len(word_pairs([after]))),
        )


def finish_fine_tuning(
    dataset: PreparedDataset, start: Path, output: Path, *, seed: int, blend: float | None, extractor_is_frozen: bool
) -> list[HeldOutTrack]:
    """Blend `best/` of a finished training with its start, compare both on the test split, and write the card anew.

    Args:
        dataset: The pairs.
        start: The captioner that the training started from.
        output: Folder of the training.
        seed: Seed of the training.
        blend: Share of the training; None to choose it, see `muscaps.training.blending`.
        extractor_is_frozen: Whether both have the same audio network; otherwise nothing is blended.
    """
    before = load_checkpoint(start)
    grown, _ = grow_captioner(before, dataset, seed)
    tuning = FineTuned(
        dataset=dataset,
        start=before,
        tuned=load_checkpoint(output / "best"),
        weights_before=grown.state_dict(),
        captions_before=read_replay(output),
    )
    trials: list[BlendTrial] = []
    if not extractor_is_frozen:
        blend = 1.0
    elif blend is None:
        blend, trials = choose_blend(tuning.trial)
    tested = tuning.tested(tuning.captioner(blend))
    facts = {"blend": blend, "blend_trials": [asdict(trial) for trial in trials]}
    _save(output / "best", tuning.tuned, tuning.model(blend), facts, tested, before.model_id)
    lines = "".join(json.dumps(asdict(track), ensure_ascii=False) + "\n" for track in tested)
    (output / TESTED).write_text(lines, encoding="utf-8")
    return tested


def read_tested(output: Path) -> list[HeldOutTrack]:
    """Return the tested tracks of a finished training."""
    rows = map(json.loads, (output / TESTED).read_text(encoding="utf-8").splitlines())
    lists = ("references", "new_pairs_before", "new_pairs_after")
    return [HeldOutTrack(**{**row, **{name: tuple(row[name]) for name in lists}}) for row in rows]


def comparison_section(tested: Sequence[HeldOutTrack], started_from: str, folds: int | None = None) -> dict[str, Any]:
    """Return the section `comparison` of a model card."""
    found = compare(tested)
    split = "the test split" if folds is None else f"{folds} folds, every pair tested by a training without it"
    return {**asdict(found), "started_from": started_from, "tested_on": split}


def replace_comparison(directory: Path, section: Mapping[str, Any]) -> None:
    """Write another comparison into a checkpoint's card."""
    tuned = load_checkpoint(directory)
    _rewrite(directory, tuned, tuned.model, tuned.card["training"], section)


def _save(
    directory: Path,
    tuned: Checkpoint,
    model: Any,
    facts: Mapping[str, Any],
    tested: Sequence[HeldOutTrack],
    started_from: str,
) -> None:
    section = comparison_section(tested, started_from)
    _rewrite(directory, tuned, model, {**tuned.card["training"], **facts}, section)


def kept_sections(card: Mapping[str, Any], captions: Iterable[str] = ()) -> dict[str, Any]:
    """Return the sections of a model card that remain valid after further training.

    Args:
        card: Of the captioner to start from.
        captions: To train on; phrases that occur in them are no longer excluded from captions.
    """
    kept = {name: card[name] for name in ("decoding", "evidence", "notices") if name in card}
    excluded = kept.get("decoding", {}).get("excluded_phrases")
    if excluded:
        sentences = [tokenize(text) for text in captions]
        left = [phrase for phrase in excluded if not any(phrase_occurs(phrase, words) for words in sentences)]
        kept["decoding"] = {**kept["decoding"], "excluded_phrases": left}
    return kept


def _rewrite(
    directory: Path, tuned: Checkpoint, model: Any, training: Mapping[str, Any], comparison: Mapping[str, Any]
) -> None:
    card = tuned.card
    save_checkpoint(
        directory,
        model,
        tuned.vocabulary,
        name=str(card["name"]),
        training=training,
        metrics=card["metrics"],
        departures=card["departures"],
        tagger=tuned.tagger,
        sections={**kept_sections(card), "comparison": dict(comparison)},
    )
