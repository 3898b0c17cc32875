"""Order, captions and shares of captioner batches."""

from collections.abc import Callable

from muscaps.training.captioner_objective import CaptionerObjective
from muscaps.training.data_parallel import Workers
from muscaps.training.loop import TrainingLoop
from muscaps.vocabulary import PAD


def test_every_example_is_seen_once_an_epoch_in_another_order_each_time(
    start: Callable[..., TrainingLoop[CaptionerObjective]],
) -> None:
    batches = start().objective.batches
    epochs = [[place for step in range(4) for place in batches.indices(epoch, step)] for epoch in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(16))
    assert epochs[0] != epochs[1]


def test_several_captions_take_turns_by_seed(start: Callable[..., TrainingLoop[CaptionerObjective]]) -> None:
    batches = start().objective.batches
    drawn = [batches.caption(1, epoch) for epoch in range(20)]
    assert drawn == [start().objective.batches.caption(1, epoch) for epoch in range(20)]
    assert len({tuple(caption) for caption in drawn}) == 2


def test_workers_share_a_global_batch(start: Callable[..., TrainingLoop[CaptionerObjective]]) -> None:
    whole = start().objective.batches.batch(2, 1)
    shares = [start(workers=Workers(rank=rank, size=3)).objective.batches.batch(2, 1) for rank in range(3)]
    assert {share.num_global_words for share in shares} == {whole.num_global_words}
    ids = [row[row != PAD].tolist() for share in shares for row in share.batch.word_ids]
    assert ids == [row[row != PAD].tolist() for row in whole.batch.word_ids]
