"""Taxonomies as files: CSV, one row a tag, or YAML; and the template with every tag.

CSV columns: facet, tag, term, synonyms, parent, drop, top. Several synonyms are separated by `;`, levels of the
hierarchy by `>`. A row with the tag `*` is about its facet: `top` is the most terms of a track, and `drop` leaves out
tags that have no row with a term. YAML has the same keys: facet, then tag, then a term or these keys.
"""

import csv
import difflib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from muscaps.lexicon import FACETS, LAYERS, facet_of, tags_of
from pipeline import storage
from pipeline.reading.taxonomy import TagName, Taxonomy, Term, own_term

COLUMNS = ("facet", "tag", "term", "synonyms", "parent", "drop", "top")
ALL_TAGS = "*"
_YES = frozenset({"yes", "y", "true", "1", "x", "drop"})
_NO = frozenset({"", "no", "n", "false", "0"})


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One row of a file."""

    where: str
    """File and line or tag, for messages."""
    facet: str
    tag: str
    term: str = ""
    synonyms: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    drop: bool = False
    top: int | None = None


def read_taxonomy(uri: str) -> Taxonomy:
    """Read a taxonomy.

    Args:
        uri: A .csv, .yaml or .yml file, local or remote.

    Raises:
        ValueError: Names file, line and mistake.
        StorageError: The file cannot be read.
    """
    suffix = uri.lower().rpartition(".")[2]
    if suffix not in ("csv", "yaml", "yml"):
        raise ValueError(f"the taxonomy {uri} must be a .csv, .yaml or .yml file")
    try:
        text = storage.read_bytes(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"the taxonomy {uri} is not UTF-8: {error}") from None
    entries = list(_csv_entries(text, uri) if suffix == "csv" else _yaml_entries(text, uri))
    seen: dict[TagName, str] = {}
    for entry in entries:
        _check(entry)
        name = (entry.facet, entry.tag)
        if name in seen:
            raise ValueError(f"{entry.where}: {entry.facet} {entry.tag!r} is there twice; see {seen[name]}")
        seen[name] = entry.where
    return _assembled(entries)


def template() -> str:
    """Return a CSV taxonomy with every tag under its own name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for facet in FACETS:
        writer.writerow([facet, ALL_TAGS, *[""] * 5])
        writer.writerows([facet, tag, own_term(facet, tag), "", "", "", ""] for tag in known_tags(facet))
    return text.getvalue()


def known_tags(facet: str) -> tuple[str, ...]:
    """Return every tag of a facet."""
    return tuple(dict.fromkeys(tag for layer in LAYERS if facet_of(layer) == facet for tag in tags_of(layer)))


def _assembled(entries: list[_Entry]) -> Taxonomy:
    single = [entry for entry in entries if entry.tag != ALL_TAGS]
    whole = [entry for entry in entries if entry.tag == ALL_TAGS]
    return Taxonomy(
        terms={
            (entry.facet, entry.tag): Term(
                name=entry.term or own_term(entry.facet, entry.tag), synonyms=entry.synonyms, parents=entry.parents
            )
            for entry in single
            if not entry.drop
        },
        dropped=frozenset((entry.facet, entry.tag) for entry in single if entry.drop),
        only_listed=frozenset(entry.facet for entry in whole if entry.drop),
        top={entry.facet: entry.top for entry in whole if entry.top is not None},
    )


def _check(entry: _Entry) -> None:
    if entry.facet not in FACETS:
        raise ValueError(f"{entry.where}: no facet {entry.facet!r}; the facets are {', '.join(FACETS)}")
    known = known_tags(entry.facet)
    if entry.tag != ALL_TAGS and entry.tag not in known:
        alike = difflib.get_close_matches(entry.tag, known, 3, 0.6)
        hint = f"; similar tags: {', '.join(alike)}" if alike else ""
        raise ValueError(
            f"{entry.where}: no tag {entry.tag!r} in facet {entry.facet}{hint}; "
            "muscaps export --taxonomy-template FILE lists all"
        )
    if entry.top is not None and entry.tag != ALL_TAGS:
        raise ValueError(f"{entry.where}: top belongs to the row of all tags of the facet, tag {ALL_TAGS}")


def _csv_entries(text: str, uri: str) -> Iterator[_Entry]:
    lines = csv.DictReader(io.StringIO(text), delimiter=";" if text.split("\n", 1)[0].count(";") >= 2 else ",")
    names = [name.strip().lower() for name in lines.fieldnames or ()]
    unknown = [name for name in names if name not in COLUMNS]
    if not {"facet", "tag"} <= set(names) or unknown:
        raise ValueError(f"{uri}: the columns must be among {', '.join(COLUMNS)}, with facet and tag, not {names}")
    lines.fieldnames = names
    for row in lines:
        where = f"{uri}, line {lines.line_num}"
        if None in row:
            raise ValueError(f"{where}: more cells than columns; quote a cell that holds the delimiter")
        cells = {name: (value or "").strip() for name, value in row.items()}
        if any(cells.values()):
            yield _entry(cells["facet"].lower(), cells["tag"].lower(), cells, where)


def _yaml_entries(text: str, uri: str) -> Iterator[_Entry]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{uri}: not YAML ({error})") from None
    for facet, tags in _mapping(content, uri).items():
        for tag, value in _mapping(tags, f"{uri}, {facet}").items():
            where = f"{uri}, {facet}, {tag}"
            keys = {"term": value} if isinstance(value, str) else _mapping(value, where)
            unknown = set(keys) - set(COLUMNS[2:])
            if unknown:
                raise ValueError(f"{where}: no key {unknown.pop()!r}; the keys are {', '.join(COLUMNS[2:])}")
            yield _entry(str(facet).lower(), str(tag).lower(), keys, where)


def _mapping(value: Any, where: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: must be a mapping, such as genre: {{jazz: Jazz}}")
    return value


def _entry(facet: str, tag: str, values: Mapping[str, Any], where: str) -> _Entry:
    return _Entry(
        where=where,
        facet=facet,
        tag=tag,
        term=str(values.get("term") or "").strip(),
        synonyms=_parts(values.get("synonyms"), ";"),
        parents=_parts(values.get("parent"), ">"),
        drop=_yes(values.get("drop"), where),
        top=_count(values.get("top"), where),
    )


def _parts(value: Any, separator: str) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else str(value or "").split(separator)
    return tuple(text for part in parts if (text := str(part).strip()))


def _yes(value: Any, where: str) -> bool:
    text = str("" if value is None else value).strip().lower()
    if text not in _YES | _NO:
        raise ValueError(f"{where}: drop must be yes or empty, not {value!r}")
    return text in _YES


def _count(value: Any, where: str) -> int | None:
    if value is None or value == "":
        return None
    try:
        count = int(str(value))
    except ValueError:
        count = 0
    if count < 1:
        raise ValueError(f"{where}: top must be a whole number from 1 on, not {value!r}")
    return count
