"""Music rendered from scores, with captions and tags that are true by construction."""
