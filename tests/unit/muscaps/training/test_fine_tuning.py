"""Fine-tuning: replayed captions, blended weights, folds."""

import pytest
import torch

from muscaps.training.batches import collate
from muscaps.training.blending import BlendTrial, blended_weights, choose_blend, try_blend
from muscaps.training.dataset.folds import Fold, in_fold
from muscaps.training.dataset.reader import PreparedDataset
from muscaps.training.replay import with_replay
from muscaps.vocabulary import EOS, PAD, SOS, UNK


def test_replay_adds_the_captions_before_training_to_their_tracks(dataset: PreparedDataset) -> None:
    first = dataset.split("train")[0]
    captions = {first.track_id: "a calm tune", dataset.split("validation")[0].track_id: ""}
    longer = with_replay(dataset, captions, 1.0)
    [added] = [example for example in longer.examples if example.replayed]
    assert (added.captions, added.split) == (("a calm tune",), "train")
    assert (longer.features(added) == dataset.features(first)).all()
    assert len(dataset.examples) + 1 == len(longer.examples)


def test_a_share_of_the_tracks_is_replayed(dataset: PreparedDataset) -> None:
    captions = {example.track_id: "a calm tune" for example in dataset.examples}
    for share, expected in ((0.0, 0), (0.25, 4 + 1), (0.5, 8 + 3), (1.0, 16 + 6)):
        longer = with_replay(dataset, captions, share)
        assert sum(example.replayed for example in longer.examples) == expected


def test_unknown_words_are_no_targets_where_they_are_not_learned() -> None:
    audio = [torch.zeros(1, 2).numpy()]
    batch = collate(audio, [[SOS, 5, UNK, 6, EOS]], learn_unknown=False)
    assert batch.targets.tolist() == [[5, PAD, 6, EOS]]
    assert batch.word_ids.tolist() == [[SOS, 5, UNK, 6]]


def test_a_blend_lies_between_the_weights() -> None:
    before, after = (
        {"a": torch.tensor([0.0, 2.0]), "n": torch.tensor(1)},
        {"a": torch.tensor([4.0, 2.0]), "n": torch.tensor(3)},
    )
    found = blended_weights(before, after, 0.25)
    assert found["a"].tolist() == [1.0, 2.0]
    assert int(found["n"]) == 3
    assert blended_weights(before, after, 1.0)["a"].tolist() == [4.0, 2.0]


def test_claims_that_nothing_confirms_and_new_word_pairs_are_counted() -> None:
    trial = try_blend(
        0.5,
        ["dark strings and piano", "slow slow drums"],
        ["dark strings in a piece", "slow drums"],
        [["sad piano"], ["a slow beat of drums"]],
    )
    assert trial.confirmed_claims == 1.0
    # strings-and, and-piano, slow-slow of dark, strings, and, piano and slow, slow, drums with beginning and end
    assert trial.new_word_pairs == pytest.approx(3 / 9)
    assert try_blend(1.0, ["bright flute"], ["dark strings"], [["sad piano"]]).confirmed_claims == 0.0


def test_the_blend_is_the_largest_up_to_which_all_are_acceptable() -> None:
    def trial(blend: float) -> BlendTrial:
        return BlendTrial(blend=blend, confirmed_claims=0.5 if blend == 0.75 else 1.0, new_word_pairs=0.0)

    blend, trials = choose_blend(trial)
    assert blend == 0.5
    assert [one.blend for one in trials] == [0.1, 0.25, 0.5, 0.75]


def test_every_pair_is_tested_in_one_fold(dataset: PreparedDataset) -> None:
    folds = [in_fold(dataset, Fold(index=index, count=4)) for index in range(4)]
    tested = [example.track_id for fold in folds for example in fold.split("test")]
    assert sorted(tested) == sorted(example.track_id for example in dataset.examples)
    for fold in folds:
        assert {example.split for example in fold.examples} == {"train", "validation", "test"}
        held_out = {word for example in fold.split("test") for word in example.captions[0].split()}
        known = {word for example in fold.split("train") for text in example.captions for word in text.split()}
        assert not {word for word in held_out - known if word in fold.vocabulary}


def test_two_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        Fold(index=0, count=2)
