"""Captions of rendered clips and of catalogue rows: true, varied, short and without repetition."""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from muscaps import lexicon
from muscaps.corpus.arrangement import arrange
from muscaps.corpus.caption_statistics import measure_captions, opening_pattern
from muscaps.corpus.captions import MAX_WORDS, MIN_WORDS, describe, repeats_a_content_word, tokens
from muscaps.corpus.catalogue_facts import facts_of_catalogue_row
from muscaps.corpus.clip import truth_of
from muscaps.corpus.clip_facts import facts_of_clip
from muscaps.corpus.facts import Facts, InstrumentFact, unsupported_claims
from muscaps.corpus.genres import GENRES
from muscaps.corpus.instrument_phrases import PHRASES, PLAYED, played_phrases
from muscaps.corpus.instruments import INSTRUMENTS
from muscaps.corpus.mood_words import MOODS
from muscaps.corpus.playing import playing_of
from muscaps.corpus.sentences import ENSEMBLE, PLAIN, SOLO
from muscaps.corpus.synthesis.notes import Note
from muscaps.corpus.truth import MixedPart, Truth, facts_of_part

SECONDS = 8.0
# What a reader takes a word for, written independently of the grammar and of the lexicon.
FAMILY_WORDS = {
    "piano": r"pianos?|keys|ep|harpsichord|clavinet",
    "organ": r"organ|accordion|harmonica",
    "guitar": r"guitars?|banjo|sitar",
    "bass": r"bass(es)?",
    "strings": r"strings?|violins?|viola|cello|fiddle|orchestra\w*|pizzicato",
    "brass": r"brass|trumpets?|trombones?|horns?|tubas?",
    "woodwind": r"woodwinds?|flute|clarinet|oboe|bassoon|recorder|piccolo|whistle|pan pipes",
    "sax": r"sax\w*",
    "mallets": r"marimba|vib\w+|xylophone|glock\w*|celesta|bells|mallet|music box|kalimba",
    "drums": r"drums?|percussion|kit|beats?|congas|timpani",
    "synth": r"synth|synths|synthesizers|electronic\w*|pads",
    "choir": r"choir|voices|choral",
    "harp": r"harp",
}
ENERGY_WORDS = {
    "high": r"driving|energetic|action|intense|epic|powerful|aggressive|fast|rousing|lively|bouncy|busy",
    "low": r"calm|relaxed|slow|gentle|quiet|soft|peaceful|mellow|ambient|serene|sparse|laid-back",
}
TEMPO_WORDS = {
    "slow": r"slow|leisurely|ballad",
    "fast": r"fast|quick|brisk|up-tempo",
    "medium": r"mid-tempo|moderate|medium tempo",
}


def claimed(text: str, table: Mapping[str, str]) -> set[str]:
    return {name for name, words in table.items() if re.search(rf"\b({words})\b", text.lower())}


def random_truth(index: int) -> Truth:
    """Facts of a random arrangement whose parts are all audible."""
    rng = np.random.default_rng([9, index])
    arrangement = arrange(SECONDS, rng)
    mixed = [
        MixedPart(instrument=part.instrument, share=float(rng.random()), audible=True, num_notes=len(part.notes))
        for part in arrangement.parts
    ]
    return truth_of(arrangement, mixed, SECONDS, rng)


@pytest.fixture(scope="module")
def described() -> list[tuple[Truth, list[str]]]:
    truths = [truth for truth in map(random_truth, range(520)) if truth.instruments]
    return [
        (truth, describe(facts_of_clip(truth, SECONDS), np.random.default_rng([9, index]), 4))
        for index, truth in enumerate(truths)
    ]


@pytest.fixture(scope="module")
def captions(described: list[tuple[Truth, list[str]]]) -> list[str]:
    return [caption for _, texts in described for caption in texts][:2000]


def test_every_clip_has_captions(described: list[tuple[Truth, list[str]]]) -> None:
    assert min(len(texts) for _, texts in described) >= 2
    assert all(len(set(texts)) == len(texts) for _, texts in described)


def test_captions_claim_no_instrument_energy_or_tempo_that_is_not_there(
    described: list[tuple[Truth, list[str]]],
) -> None:
    for truth, texts in described:
        for text in texts:
            assert claimed(text, FAMILY_WORDS) <= set(truth.families), (text, truth)
            assert claimed(text, ENERGY_WORDS) <= {truth.energy}, (text, truth)
            assert claimed(text, TEMPO_WORDS) <= {truth.tempo}, (text, truth)


def test_the_mode_of_a_clip_decides_nothing_that_is_said(described: list[tuple[Truth, list[str]]]) -> None:
    for truth, _ in described:
        modes = {facts_of_clip(replace(truth, mode=mode), SECONDS) for mode in ("major", "minor", "unclear")}
        assert len(modes) == 1


def test_captions_keep_the_limits_of_length_and_repeat_no_content_word(captions: list[str]) -> None:
    for text in captions:
        assert MIN_WORDS <= len(tokens(text)) <= MAX_WORDS
        assert not repeats_a_content_word(text), text
        assert "  " not in text and ",," not in text and "{" not in text and "[" not in text, text
        assert text[0].isupper() or text[0].isdigit(), text


def test_the_language_is_varied(captions: list[str]) -> None:
    statistics = measure_captions(captions)
    assert statistics.num_captions == 2000
    assert statistics.top_opening_share <= 0.1, statistics.top_openings
    assert statistics.distinct_share >= 0.95
    assert 250 <= statistics.vocabulary_size <= 700
    assert 9 <= statistics.words_per_caption <= 14
    assert statistics.repeated_content_share == 0


def test_there_are_many_patterns_of_each_kind() -> None:
    assert len(ENSEMBLE) >= 40 and len(SOLO) >= 20 and len(PLAIN) >= 10
    texts = [pattern.text for pattern in (*ENSEMBLE, *SOLO, *PLAIN)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("Driving techno with driving synths", True),
        ("Strings and a string melody in a slow piece", True),
        ("Electric guitar and electric piano", True),
        ("Piano and bass in a slow waltz with a calm mood", False),
        ("Violin and viola over a cello", False),
    ],
)
def test_repeated_content_words_are_found_in_any_form(text: str, repeats: bool) -> None:
    assert repeats_a_content_word(text) is repeats


def test_openings_are_compared_by_the_class_of_their_words() -> None:
    assert opening_pattern("A dark, mysterious polka") == opening_pattern("A bright, bouncy waltz")
    assert opening_pattern("Solo piano at a slow tempo") != opening_pattern("At a slow tempo, solo piano")


def test_a_phrase_names_its_own_family_alone() -> None:
    for instrument in INSTRUMENTS.values():
        if instrument.name not in PHRASES:
            continue
        for playing in ("", *{p for table in PLAYED.values() for p in table}):
            phrases = played_phrases(instrument.name, instrument.family, playing) if playing else ()
            for phrase in (PHRASES[instrument.name][0], *phrases):
                families = lexicon.tags_in(phrase, "family")
                assert instrument.family in families or "english horn" in phrase, phrase


def test_every_genre_has_nouns_and_every_mood_has_words() -> None:
    assert all(genre.counted or genre.uncounted for genre in GENRES.values())
    assert all(mood.words for mood in MOODS.values())


def test_a_claim_without_a_fact_is_found() -> None:
    facts = Facts(instruments=(InstrumentFact(name="piano"),), moods=("bouncy",), tempo="fast", complete=True)
    assert unsupported_claims("Bouncy piano at a fast tempo", facts) == []
    claims = unsupported_claims("Dark piano and flute at a slow tempo", facts)
    assert {claim.phrase for claim in claims} == {"dark", "flute", "slow"}


@pytest.mark.parametrize(
    ("pattern", "instrument", "length_s", "playing"),
    [
        ("ostinato", "string section", 0.4, "ostinato"),
        ("melody", "string section", 0.1, "staccato"),
        ("sustained", "string section", 2.0, "sustained"),
        ("sustained", "string section", 0.5, ""),
        ("bass walking", "acoustic bass", 0.5, "walking"),
        ("arp 8", "acoustic guitar", 0.3, "arpeggiated"),
        ("house", "drum machine", 0.1, "four-on-the-floor"),
        ("", "violin", 0.5, ""),
    ],
)
def test_playing_follows_from_the_pattern_and_the_notes(
    pattern: str, instrument: str, length_s: float, playing: str
) -> None:
    notes = [Note(float(beat), length_s, 60, 0.8) for beat in range(8)]
    part = facts_of_part(instrument=instrument, role="chords", pattern=pattern, share=0.5, audible=True, notes=notes)
    assert playing_of(part) == playing


def test_a_part_that_starts_late_is_described_as_entering() -> None:
    facts = Facts(
        instruments=(
            InstrumentFact(name="piano", function="harmony"),
            InstrumentFact(name="drum kit", function="rhythm", enters_late=True),
        ),
        complete=True,
        tempo="slow",
    )
    texts = describe(facts, np.random.default_rng(0), 60)
    joined = [text for text in texts if "later" in text or "then" in text]
    assert joined
    assert all(re.search(r"(joined later by|then) .*(drum|backbeat)", text) for text in joined)


@pytest.mark.parametrize(
    ("row", "instruments", "moods", "genres", "tempo"),
    [
        (
            {"instruments": "Synth Bass, Percussion", "feel": "Dark, Humorous", "genre": "Electronica", "bpm": "100"},
            ("synth bass", "percussion"),
            ("dark", "humorous"),
            ("electronica",),
            "medium",
        ),
        (
            {"instruments": "Piano", "feel": "Bouncy", "genre": "Silent Film Score", "bpm": 140.0},
            ("piano",),
            ("bouncy",),
            ("silent film",),
            "fast",
        ),
        ({"feel": "Fast, Calming", "genre": "Unclassifiable"}, (), ("calm",), (), "fast"),
        (
            {"genre": "Female Fronted Metal", "instruments": "Guitars"},
            ("female vocals", "distorted guitars"),
            (),
            ("metal",),
            "",
        ),
        ({}, (), (), (), ""),
    ],
)
def test_catalogue_words_become_facts(
    row: dict[str, object], instruments: tuple[str, ...], moods: tuple[str, ...], genres: tuple[str, ...], tempo: str
) -> None:
    facts = facts_of_catalogue_row(row)
    assert tuple(fact.name for fact in facts.instruments) == instruments
    assert (facts.moods, facts.genres, facts.tempo) == (moods, genres, tempo)


def test_one_listed_instrument_is_a_solo_and_a_section_is_not() -> None:
    assert facts_of_catalogue_row({"instruments": "Piano"}).solo
    assert not facts_of_catalogue_row({"instruments": "Synths"}).solo
    assert not facts_of_catalogue_row({"instruments": "Piano, Unheard-of Horn"}).solo


def test_the_description_of_a_catalogue_is_never_used() -> None:
    row = {"instruments": "Piano, Flute", "feel": "Calm", "genre": "Contemporary", "bpm": "70"}
    with_prose = {**row, "description": "Loud metal guitars and a choir at breakneck speed"}
    rows = [describe(facts_of_catalogue_row(r), np.random.default_rng(3), 5) for r in (row, with_prose)]
    assert rows[0] == rows[1] and len(rows[0]) == 5


def test_a_row_with_hardly_any_facts_has_no_caption() -> None:
    assert describe(facts_of_catalogue_row({"genre": "Rock"}), np.random.default_rng(0), 3) == []


def test_moods_and_instruments_of_a_catalogue_row_are_all_mentioned_sooner_or_later() -> None:
    row = {"instruments": "Violins, Harp, Kit", "feel": "Dark, Driving", "genre": "Soundtrack", "bpm": "100"}
    text = " ".join(describe(facts_of_catalogue_row(row), np.random.default_rng(1), 20)).lower()
    for words in ("violins", "harp", "drum", "dark|brooding", "driving", "mid-tempo|moderate|medium"):
        assert re.search(words, text), words
