"""A caption in the comment tags of one audio file; everything else in the file stays byte for byte.

Conventions: a comment of ours starts with `AI-written description: `, and two named fields hold caption and model.
Writing again replaces only these. Genre, mood and description are written only if they are asked for. mutagen
recognises the format; each format has an editor that copies what is not ours.
"""

from pipeline.reading.comment_tags.comment import (
    CHUNK_NAMES,
    COMMENT_PREFIX,
    FIELD_NAMES,
    ChunkName,
    Comment,
    FieldName,
)
from pipeline.reading.comment_tags.tag_file import tag_file, write_tagged

__all__ = [
    "CHUNK_NAMES",
    "COMMENT_PREFIX",
    "FIELD_NAMES",
    "ChunkName",
    "Comment",
    "FieldName",
    "tag_file",
    "write_tagged",
]
