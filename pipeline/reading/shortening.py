"""Captions cut to a length in characters, between words."""

_NO_LAST_WORDS = frozenset(
    "a an the and or but with of in on to for by from at as is that into over built led featuring".split()
)
"""Words that cannot be the last word of a shortened caption."""


def shorten_caption(caption: str, max_chars: int) -> str:
    """Cut a caption between words, without a last "with a" and without a last comma.

    Args:
        caption: Any text.
        max_chars: Maximum number of characters to return, at least 1.

    Returns:
        The caption itself where it is short enough. A first word longer than the limit is cut inside the word.
    """
    caption = " ".join(caption.split())
    if len(caption) <= max_chars:
        return caption
    words = caption[: max_chars + 1].split(" ")[:-1]
    if not words:
        return caption[:max_chars]
    while len(words) > 1 and words[-1].strip(",;:-").lower() in _NO_LAST_WORDS:
        words.pop()
    return " ".join(words).rstrip(" ,;:-") or caption[:max_chars]
