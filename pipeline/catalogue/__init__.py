"""Catalogues: which tracks there are, from a file, a folder, a bucket prefix or an S3 Inventory."""

from pipeline.catalogue.audio_suffixes import AUDIO_SUFFIXES
from pipeline.catalogue.catalogue import Catalogue, read_catalogue
from pipeline.catalogue.errors import CatalogueError

__all__ = ["AUDIO_SUFFIXES", "Catalogue", "CatalogueError", "read_catalogue"]
