"""Replay: the captions that a captioner gives to the tracks of a dataset, as further pairs of its fine-tuning.

A few dozen pairs are enough to overwrite the language of a captioner. Therefore some tracks occur twice while it is
fine-tuned: with the caption of the dataset and with that of the captioner before training. (Li and Hoiem, "Learning
without forgetting", 2016, with captions in place of class probabilities.)

Measured on descriptions of 40 real tracks: without replay 27 % of the word pairs of captions of other tracks occur
neither in the descriptions nor in captions before training ("a bouncy of of drum in"), with it 4 to 6 %.
"""

from collections.abc import Mapping
from dataclasses import replace

from muscaps.training.dataset.reader import PreparedDataset


def with_replay(dataset: PreparedDataset, captions: Mapping[str, str], share: float = 0.5) -> PreparedDataset:
    """Return a dataset with a second example of training and validation tracks that have such a caption.

    Args:
        dataset: The pairs.
        captions: By track id, the caption before training; tracks with an empty one get no second example.
        share: Share of the tracks of each split, evenly spaced. With all of them a uniform style of a few dozen
            captions is not learned: the caption before training is the more probable one.
    """
    chosen = [
        example
        for split in ("train", "validation")
        for rank, example in enumerate(dataset.split(split))
        if int((rank + 1) * share) > int(rank * share)
    ]
    replayed = [
        replace(example, captions=(captions[example.track_id],), replayed=True)
        for example in chosen
        if captions.get(example.track_id)
    ]
    return dataset.with_examples([*dataset.examples, *replayed])
