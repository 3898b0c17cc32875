"""Captions cut to a length in characters, between words."""

_DANGLING = frozenset(
    (
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "with",
        "of",
        "in",
        "on",
        "to",
        "for",
        "by",
        "from",
        "at",
        "as",
        "is",
        "that",
        "into",
        "over",
        "built",
        "led",
        "featuring",
    )
)
"""Words no shorten_caption caption ends with."""


def shorten_caption(caption: str, max_chars: int) -> str:
    """Cut a caption between words, leaving no dangling "with a" and no loose comma.

    Args:
        caption: Any text.
        max_chars: Most characters to return, at least 1.

    Returns:
        The caption itself where it fits. A first word longer than the limit is cut through.
    """
    caption = " ".join(caption.split())
    if len(caption) <= max_chars:
        return caption
    words = caption[: max_chars + 1].split(" ")[:-1]
    if not words:
        return caption[:max_chars]
    kept = list(words)
    while len(kept) > 1 and kept[-1].strip(",;:-").lower() in _DANGLING:
        kept.pop()
    return " ".join(kept).rstrip(" ,;:-") or caption[:max_chars]
