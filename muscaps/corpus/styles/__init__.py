"""The styles of music that are arranged, by group."""

from muscaps.corpus.styles.bands import BANDS
from muscaps.corpus.styles.electronic import ELECTRONIC
from muscaps.corpus.styles.orchestral import ORCHESTRAL
from muscaps.corpus.styles.solos import SOLOS
from muscaps.corpus.styles.stage import STAGE
from muscaps.corpus.styles.style import Layer, Style

__all__ = ["STYLES", "Layer", "Style"]

STYLES: tuple[Style, ...] = (*ELECTRONIC, *BANDS, *STAGE, *ORCHESTRAL, *SOLOS)
"""Every style; clips of a seed depend on the order."""
