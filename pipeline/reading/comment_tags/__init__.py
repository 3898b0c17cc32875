"""A caption in the comment tags of one audio file; everything else in the file stays byte for byte.

Conventions: a comment of ours starts with `AI-generated: `, and two named fields hold caption and model. Writing again
replaces only these. mutagen recognises the format; each format has an editor that copies what is not ours.
"""

from pipeline.reading.comment_tags.comment import COMMENT_PREFIX
from pipeline.reading.comment_tags.tag_file import tag_file, write_tagged

__all__ = ["COMMENT_PREFIX", "tag_file", "write_tagged"]
