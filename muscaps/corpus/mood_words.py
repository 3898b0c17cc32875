"""Adjectives for moods, energy and tempo, and the order in which English lists them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mood:
    """One mood that a track can have."""

    words: tuple[str, ...]
    """Adjectives that name it; the first is the usual one and is chosen half of the time."""
    rank: int
    """Place in a list of adjectives: opinions (1) come before character (3) and motion (5)."""
    nouns: tuple[str, ...] = ()
    """Nouns that name it: "a sense of mystery"."""


MOODS: dict[str, Mood] = {
    "dark": Mood(words=("dark", "brooding"), rank=2, nouns=("darkness",)),
    "bright": Mood(words=("bright", "cheerful", "sunny"), rank=2),
    "happy": Mood(words=("happy", "joyful", "cheerful"), rank=2, nouns=("joy",)),
    "humorous": Mood(words=("humorous", "playful", "quirky", "comical"), rank=1, nouns=("humor",)),
    "uplifting": Mood(words=("uplifting", "upbeat", "hopeful"), rank=3, nouns=("hope",)),
    "warm": Mood(words=("warm",), rank=1, nouns=("warmth",)),
    "calm": Mood(words=("calm", "peaceful", "gentle"), rank=3),
    "relaxed": Mood(words=("relaxed", "mellow", "laid-back"), rank=4),
    "somber": Mood(words=("somber", "melancholic", "mournful"), rank=3, nouns=("sorrow",)),
    "eerie": Mood(words=("eerie", "haunting", "ghostly"), rank=2),
    "unnerving": Mood(words=("unnerving", "unsettling", "ominous"), rank=3),
    "mysterious": Mood(words=("mysterious", "enigmatic"), rank=4, nouns=("mystery",)),
    "mystical": Mood(words=("mystical", "magical", "ethereal"), rank=4),
    "suspenseful": Mood(words=("suspenseful", "tense"), rank=3, nouns=("suspense", "tension")),
    "epic": Mood(words=("epic", "powerful", "heroic"), rank=1),
    "intense": Mood(words=("intense",), rank=2),
    "aggressive": Mood(words=("aggressive",), rank=3),
    "action": Mood(words=("action-packed",), rank=5),
    "bouncy": Mood(words=("bouncy",), rank=4),
    "driving": Mood(words=("driving",), rank=5),
    "grooving": Mood(words=("grooving", "groovy"), rank=5),
    "energetic": Mood(words=("energetic", "lively"), rank=4, nouns=("energy",)),
    "dreamy": Mood(words=("dreamy",), rank=3),
}
"""Moods by name."""

TEMPO_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "slow": ("slow", "slow-moving"),
    "medium": ("mid-tempo",),
    "fast": ("fast", "up-tempo", "brisk", "fast-paced"),
}
TEMPO_ADVERBIALS: dict[str, tuple[str, ...]] = {
    "slow": ("at a slow tempo", "at a slow pace", "at a leisurely pace"),
    "medium": ("at a moderate tempo", "at a medium tempo", "at a moderate pace", "at a steady medium tempo"),
    "fast": ("at a fast tempo", "at a quick pace", "at a brisk tempo"),
}
TEXTURE_ADJECTIVES: dict[str, tuple[str, ...]] = {"sparse": ("sparse",), "busy": ("busy",)}
ENERGY_ADJECTIVES: dict[str, tuple[str, ...]] = {"low": ("quiet", "soft"), "high": ("energetic", "lively")}
"""Adjectives for the energy, said where no mood says it already."""
