"""Tag heads: their scores, their place in a checkpoint, and what is refused."""

import json

import numpy as np
import pytest
import torch

from muscaps.captioner import Captioner
from muscaps.checkpoint import CARD, CheckpointError, load_checkpoint, save_checkpoint
from muscaps.tagger import TagHeads
from muscaps.tags import Tag
from tests.tagged_checkpoint import write_tagged

NAMES = (("instrument", "piano"), ("instrument", "strings"), ("mood", "dark"))


def heads(width=4, names=NAMES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return TagHeads(
        names=names,
        weight=torch.randn(len(names), width, generator=generator),
        bias=torch.randn(len(names), generator=generator),
        card={"reliability": {"instrument": [[0.8, 0.79, 40]]}},
    )


def tracks(width=4, lengths=(1, 3, 7)):
    generator = np.random.default_rng(0)
    return [generator.standard_normal((length, width)).astype(np.float32) for length in lengths]


@pytest.fixture
def tagged_checkpoint(tiny_checkpoint, tmp_path):
    """The tiny captioner with three heads, and those heads."""
    tagger = heads(load_checkpoint(tiny_checkpoint).model.feature_extractor.feature_dim)
    return write_tagged(tiny_checkpoint, tmp_path / "tagged", tagger, notices=["a licence"]), tagger


def test_a_score_is_the_sigmoid_of_a_head_on_the_mean_of_the_chunks():
    tagger = heads()
    for track, scores in zip(tracks(), tagger.scores(tracks()), strict=True):
        logits = tagger.weight @ torch.from_numpy(track.mean(axis=0)) + tagger.bias
        np.testing.assert_allclose(scores, torch.sigmoid(logits), atol=1e-6)


def test_scores_do_not_depend_on_the_other_tracks():
    together = heads().scores(tracks())
    alone = [heads().scores([track])[0] for track in tracks()]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_tags_come_by_facet_with_the_highest_score_first():
    [tags] = heads().tags(tracks(lengths=(2,)))
    assert all(isinstance(tag, Tag) for tag in tags)
    assert [tag.facet for tag in tags] == ["instrument", "instrument", "mood"]
    assert tags[0].score > tags[1].score
    assert {tag.tag for tag in tags[:2]} == {"piano", "strings"}


def test_no_tracks_have_no_tags():
    assert heads().tags([]) == []


@pytest.mark.parametrize("track", [np.zeros((0, 4)), np.zeros((2, 3)), np.zeros(4)])
def test_features_that_do_not_fit_are_refused(track):
    with pytest.raises(ValueError, match="tag heads need features"):
        heads().scores([track])


@pytest.mark.parametrize(
    ("names", "shape"), [(NAMES, (2, 4)), (NAMES, (12,)), ((NAMES[0], NAMES[0], NAMES[1]), (3, 4))]
)
def test_heads_that_do_not_fit_their_names_are_refused(names, shape):
    with pytest.raises(ValueError, match=r"tags need weights|occurs twice"):
        TagHeads(names=names, weight=torch.zeros(shape), bias=torch.zeros(3), card={})


def test_a_checkpoint_keeps_its_heads(tagged_checkpoint):
    folder, tagger = tagged_checkpoint
    loaded = load_checkpoint(folder)
    assert loaded.tagger is not None
    assert loaded.tagger.names == NAMES
    assert torch.equal(loaded.tagger.weight, tagger.weight)
    assert loaded.tagger.card == tagger.card
    assert loaded.card["notices"] == ["a licence"]


def test_a_captioner_tags_tracks(tagged_checkpoint):
    captioner = Captioner.load(tagged_checkpoint[0])
    features = tracks(captioner.feature_dim)
    assert captioner.tags(features) == tagged_checkpoint[1].tags(features)


def test_a_captioner_without_heads_says_so(tiny_checkpoint):
    captioner = Captioner.load(tiny_checkpoint)
    assert captioner.tagger is None
    with pytest.raises(ValueError, match="no tag heads"):
        captioner.tags(tracks(captioner.feature_dim))


def test_heads_for_other_features_are_not_stored(tiny_checkpoint, tmp_path):
    plain = load_checkpoint(tiny_checkpoint)
    with pytest.raises(ValueError, match="tag heads read 4 features"):
        save_checkpoint(
            tmp_path / "x", plain.model, plain.vocabulary, name="x", training={}, metrics={}, tagger=heads()
        )


@pytest.mark.parametrize("damage", [{"tags": [["mood", "dark"]]}, {"tags": "dark"}, {}])
def test_a_card_that_does_not_fit_the_heads_is_refused(tagged_checkpoint, damage):
    path = tagged_checkpoint[0] / CARD
    card = json.loads(path.read_text())
    card["tagger"] = damage
    path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="tag heads do not read"):
        load_checkpoint(tagged_checkpoint[0])


def test_heads_without_a_card_section_are_refused(tagged_checkpoint):
    path = tagged_checkpoint[0] / CARD
    card = json.loads(path.read_text())
    del card["tagger"]
    path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="tag heads do not read"):
        load_checkpoint(tagged_checkpoint[0])
