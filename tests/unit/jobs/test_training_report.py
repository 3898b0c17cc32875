"""The end of `muscaps train`: what was measured, and a warning of a useless captioner."""

from jobs.commands.training import _caption_line
from jobs.training_report import result_line, useless_captioner_warning

USEFUL = {"validation_cider": 0.3, "validation_words": 8.0, "validation_distinct": 0.7}


def test_the_result_names_split_search_and_scale() -> None:
    line = result_line({"epoch": 3, "epochs": 9, "validation_loss": 2.5, **USEFUL})
    assert line == "best epoch 3 of 9, on the validation split: loss 2.5000, greedy CIDEr x 100 30.0"


def test_a_useful_captioner_has_no_warning() -> None:
    assert list(useless_captioner_warning(USEFUL, 32)) == []


def test_a_useless_captioner_is_warned_of_with_reason_and_remedy() -> None:
    text = "\n".join(useless_captioner_warning({**USEFUL, "validation_cider": 0.001, "validation_words": 1.2}, 32))
    assert "CIDEr x 100 is 0.1, captions have 1.2 words on average" in text
    assert "32 training pairs; from nothing it takes at least 1,000" in text
    assert "--from bundled" in text


def test_captions_that_are_all_alike_are_warned_of() -> None:
    text = "\n".join(useless_captioner_warning({**USEFUL, "validation_distinct": 0.02}, 5000))
    assert "only 2% of them differ" in text
    assert "Train for longer" in text


def test_a_line_about_an_epoch_names_its_fold() -> None:
    epoch = {"epoch": 2, "train_loss": 3.0, "validation_loss": 2.5, "seconds": 1.0, "eta_s": 60.0, **USEFUL}
    line = _caption_line(9, folds=5)
    assert line({**epoch, "fold": 3}).startswith("fold 3 of 5, epoch 2/9: loss 3.0000, validation loss 2.5000, greedy")
    assert line(epoch).startswith("epoch 2/9: ")
