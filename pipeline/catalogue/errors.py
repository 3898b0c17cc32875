"""The error of an unusable catalogue."""


class CatalogueError(ValueError):
    """The catalogue cannot be used as it is; the message names the lines and the remedy."""
