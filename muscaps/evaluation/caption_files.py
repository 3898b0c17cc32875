"""Files of captions to be scored: one JSON object a line."""

import json
from collections.abc import Iterator
from pathlib import Path


def read_captions(path: Path) -> tuple[list[str], list[list[str]]]:
    """Read `{"prediction": ..., "references": [...]}` lines.

    Returns:
        Predictions and references, one entry a line; empty lines are skipped.

    Raises:
        ValueError: A line is something else; the message names it.
    """
    predictions, references = [], []
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error})") from None
        prediction = row.get("prediction") if isinstance(row, dict) else None
        truths = row.get("references") if isinstance(row, dict) else None
        if not isinstance(prediction, str):
            raise ValueError(f'{path}, line {number}: needs "prediction", a string')
        if not isinstance(truths, list) or not truths or not all(isinstance(text, str) for text in truths):
            raise ValueError(f'{path}, line {number}: needs "references", a list of one or more strings')
        predictions.append(prediction)
        references.append(truths)
    if not predictions:
        raise ValueError(f"{path}: holds no captions")
    return predictions, references


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    # Only line feeds end a line: a caption may hold U+2028 unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line
