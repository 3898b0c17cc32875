"""Fragments: texts that stop in the middle of a phrase, or say nothing; not captions to learn from.

Conventions: tokens are those of `vocabulary.tokenize`. Word lists decide, without a grammar: an adjective counts as
content.
"""

from muscaps.lexicon import claims
from muscaps.vocabulary import tokenize

_NEVER_LAST = frozenset(
    "a an the my your our their its every "
    "and or but nor plus while because although unless if than as "
    "with of from by at into onto upon between among amid against toward towards during despite via per like "
    "featuring including".split()
)
"""Articles, possessives, conjunctions, and prepositions that need a word after them."""
_LAST_IN_A_SENTENCE = frozenset(
    "in on to for about over under up down off out around along through across after before behind beyond beneath "
    "below above near inside outside within without since until yet that which".split()
)
"""Words that can end a sentence ("something to dance to."), but not a text without a full stop."""
_WITHOUT_CONTENT = (
    _NEVER_LAST
    | _LAST_IN_A_SENTENCE
    | frozenset(
        "i you he she it we they me him her us them myself itself mine yours his hers this these those "
        "some any no who whom whose what when where why how there here then now not so too very just only "
        "also even still again ever never maybe perhaps quite rather pretty much more most less least "
        "many few all both each other another such same own else one ones thing things something anything "
        "nothing everything stuff way lot lots kind sort bit yes yeah okay ok well oh is are was were be "
        "has have am been being do does did done doing had having neat nice good great cool bad true "
        "right sure will would shall should can could may might must let get gets go goes it's that's "
        "there's i'm i've i'd i'll you're you'll we're they're don't doesn't didn't isn't aren't wasn't "
        "can't couldn't won't wouldn't".split()
    )
)


def is_fragment(text: str) -> bool:
    """Return whether a text ends in the middle of a phrase, or has no word that could describe music."""
    words = [token for token in tokenize(text) if token != ","]
    if not words:
        return True
    ends_as_sentence = text.rstrip(" \"'”’)]").endswith((".", "!", "?")) and not text.rstrip().endswith(("..", "…"))
    if words[-1] in _NEVER_LAST or (words[-1] in _LAST_IN_A_SENTENCE and not ends_as_sentence):
        return True
    return not claims(text) and all(_says_nothing(word) for word in words)


def _says_nothing(word: str) -> bool:
    return word in _WITHOUT_CONTENT or word.endswith("ly") or word.isdecimal()
