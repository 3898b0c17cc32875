"""Sentence patterns of captions.

Conventions: `{slot}` is filled by `captions.Wording`; `[a]` becomes "a" or "an"; `{slot|verb}` adds a verb that agrees
with the slot. A pattern can be used when all of its slots can be filled. `weight` is relative.

Slots: `described` is a counted noun phrase with adjectives ("dark mid-tempo techno track"), `piece` the same without
adjectives, `music` an uncounted noun ("techno"), `style` the same where it names a genre; `all` is a list of
instruments, split into `lead` and `rest`, `melodic` and `rhythm`, or `early` and `late`; `calm_all` is that list
where the energy is not high; `solo` is the instrument of a solo; `moods` is a list of adjectives, `moods_and` the same
with "and", `two_moods` the same with at least two adjectives, `mood` a single one; `tempo` is an adjective, `at_tempo`
an adverbial, `texture` an adjective, `in_three` a phrase for triple meter.
"""

import re
from dataclasses import dataclass
from functools import cached_property

SLOT = re.compile(r"\{(\w+)(?:\|(\w+))?\}")
"""A slot's name and its verb, if any."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One way to build a sentence."""

    text: str
    weight: float = 1.0

    @cached_property
    def slots(self) -> frozenset[str]:
        """Names of the slots."""
        return frozenset(slot for slot, _ in SLOT.findall(self.text))


def _patterns(*rows: tuple[str, float]) -> tuple[Pattern, ...]:
    return tuple(Pattern(text=text, weight=weight) for text, weight in rows)


ENSEMBLE = _patterns(
    ("[a] {described} with {all}", 1.0),
    ("{described} with {all}", 1.0),
    ("{described} featuring {all}", 1.0),
    ("[a] {described} built on {all}", 0.7),
    ("[a] {described} for {all}", 0.7),
    ("{moods} {music} with {all}", 1.2),
    ("{moods_and} {music} with {all}", 1.2),
    ("{moods_and} {piece} {at_tempo}, with {all}", 1.0),
    ("[a] {moods} {piece} {at_tempo}, with {all}", 1.0),
    ("{described} with {lead} over {rest}", 1.0),
    ("[a] {described} with {lead}, backed by {rest}", 0.8),
    ("{tempo} {music}, {two_moods}, with {all}", 0.8),
    ("{style} with {all}", 1.0),
    ("{style} with {all} {at_tempo}", 1.0),
    ("{style} with [a] {mood} feel, built on {all}", 1.0),
    ("{style}, {two_moods}, with {all}", 1.0),
    ("{all} in [a] {described}", 0.5),
    ("{all} in [a] {described} {at_tempo}", 0.4),
    ("{calm_all|set} [a] {moods} mood in [a] {piece}", 0.6),
    ("{tempo} {piece} with {all}", 0.9),
    ("{tempo} {music} with {all}", 0.9),
    ("{tempo} {piece}, {two_moods}, with {all}", 1.0),
    ("[a] {tempo} {piece} where {lead|play} over {rest}", 1.0),
    ("[a] {piece} {at_tempo}, with {all}", 0.9),
    ("{piece} for {all} {at_tempo}", 0.8),
    ("{melodic} over {rhythm} in [a] {described}", 0.5),
    ("{rhythm|support} {melodic} in [a] {described}", 0.4),
    ("{lead|lead} [a] {described} over {rest}", 0.8),
    ("{lead|carry} [a] {described}, backed by {rest}", 0.6),
    ("{lead} backed by {rest} in [a] {described}", 0.6),
    ("{described} led by {lead} over {rest}", 1.0),
    ("{texture} {piece} with {all}", 0.8),
    ("[a] {texture} {piece} for {all}", 0.6),
    ("[a] {piece} {in_three} with {all}", 0.4),
    ("duet for {duet}, {two_moods}", 0.6),
    ("{duet} duet {at_tempo}", 0.8),
    ("[a] {moods} duet of {duet}", 0.8),
    ("[a] {described} that opens with {early}, joined later by {late}", 0.7),
    ("{melodic} over {rhythm} in [a] {moods} {piece} {at_tempo}", 0.5),
    ("{melodic} over {rhythm} in {style} {at_tempo}", 0.4),
    ("{calm_all|create} [a] {mood} atmosphere in [a] {tempo} {piece}", 0.6),
    ("{moods_and} {music} {at_tempo}, led by {lead} over {rest}", 0.8),
    ("{lead} alongside {rest} in [a] {moods} {piece}", 0.5),
    ("[a] {moods} {piece} {in_three} with {all}", 0.5),
    ("{style} with [a] {moods} character, led by {lead} over {rest}", 0.8),
    ("{lead} accompanied by {rest} in [a] {described}", 0.6),
    ("{rhythm|anchor} [a] {described} with {melodic}", 0.4),
    ("{early}, joined later by {late}, in [a] {described}", 0.7),
    ("{early} first, then {late|enter} {at_tempo}", 0.5),
)
"""For tracks with instruments other than solos."""

SOLO = _patterns(
    ("[a] {described} for solo {solo}", 0.6),
    ("[a] {described} for {solo} alone", 0.8),
    ("{described} for solo {solo}", 1.0),
    ("[a] {described} on solo {solo}", 0.6),
    ("{moods_and} {piece} {at_tempo}, for solo {solo}", 0.8),
    ("solo {solo}, {two_moods}, {at_tempo}", 1.0),
    ("solo {solo} in [a] {described}", 0.9),
    ("solo {solo} {at_tempo}, {two_moods}", 0.8),
    ("solo {solo} playing {played_solo} {at_tempo}", 0.6),
    ("{moods} {solo} solo {at_tempo}", 1.0),
    ("{moods_and} solo {solo} {at_tempo}", 1.0),
    ("{moods} {music} for solo {solo}", 1.0),
    ("{tempo} {piece} for solo {solo}", 0.8),
    ("{tempo}, {moods} solo {solo} {plain_piece}", 0.9),
    ("{tempo} solo {solo}, {two_moods}", 0.9),
    ("[a] {moods} performance on solo {solo}", 0.6),
    ("{solo} alone, {two_moods}, {at_tempo}", 0.7),
    ("{solo} alone in [a] {described}", 0.8),
    ("{solo} solo {at_tempo}, {two_moods}", 0.7),
    ("[a] {solo} solo {at_tempo}", 0.7),
    ("[a] {moods} {solo} solo", 0.7),
    ("[a] {piece} for solo {solo} {at_tempo}", 0.4),
    ("{style} on solo {solo} {at_tempo}", 0.7),
    ("[a] {texture} {plain_piece} for solo {solo}", 0.5),
    ("{style} for solo {solo} with [a] {mood} feel", 0.8),
)
"""For tracks with one pitched instrument."""

PLAIN = _patterns(
    ("[a] {described} {at_tempo}", 1.0),
    ("[a] {moods} {piece} {at_tempo}", 1.0),
    ("{moods} {music} {at_tempo}", 1.0),
    ("{moods_and} {music} {at_tempo}", 1.0),
    ("{style} {at_tempo}, {two_moods}", 1.0),
    ("{style} with [a] {moods} feel", 1.0),
    ("{tempo} {piece}, {two_moods}", 1.0),
    ("{tempo} {music} with [a] {moods} mood", 1.0),
    ("[a] {tempo} {piece} with [a] {moods} feel", 1.0),
    ("[a] {piece} with [a] {moods} mood", 1.0),
    ("{piece}, {two_moods}, {at_tempo}", 1.0),
    ("{moods_and} {piece} {at_tempo}", 1.0),
    ("[a] {described} of [a] {mood} character", 0.8),
    ("{moods_and} in character, {tempo} {music}", 0.8),
)
"""For tracks of unknown instruments."""
