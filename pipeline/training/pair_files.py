"""Reading pair files: CSV, TSV, JSONL or Parquet, or a folder of Parquet files.

Conventions: the columns are `uri` and `caption` (or `captions`, a list), optionally `track_id`, `split` and `tags`.
Rows of one track are one pair with several captions. In text files `tags` and `captions` are JSON lists or separated
by `|`. Relative URIs are relative to the file.
"""

import io
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from muscaps.training.dataset.pairs import DatasetError, Pair
from muscaps.training.dataset.splits import split_name
from pipeline import storage


def read_table(source: str) -> pa.Table:
    """Read a pair file into Arrow."""
    if storage.is_folder(source):
        files = [file.uri for file in storage.list_files(source, ".parquet")]
        if not files:
            raise DatasetError(f"{source}: no Parquet file in this folder")
        tables = [pq.read_table(io.BytesIO(storage.read_bytes(uri))) for uri in sorted(files)]
        return pa.concat_tables(tables, promote_options="permissive")
    suffix = source.lower().rpartition(".")[2]
    if suffix not in ("csv", "tsv", "jsonl", "ndjson", "parquet"):
        raise DatasetError(f"{source}: pairs come as .csv, .tsv, .jsonl or .parquet, or a folder of Parquet files")
    data = storage.read_bytes(source)
    try:
        if suffix == "parquet":
            return pq.read_table(io.BytesIO(data))
        if suffix in ("jsonl", "ndjson"):
            return pyarrow.json.read_json(io.BytesIO(data))
        return pyarrow.csv.read_csv(
            io.BytesIO(data),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if suffix == "tsv" else ",", newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(("track_id", "uri", "caption", "captions", "tags", "split"), pa.string()),
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{source}: not readable as {suffix}: {error}") from error


def _texts(value: object) -> list[str]:
    """A list of texts from a list, a JSON list or text separated by `|`."""
    if value is None:
        return []
    if isinstance(value, str):
        stripped = value.strip()
        if stripped.startswith("["):
            try:
                value = json.loads(stripped)
            except json.JSONDecodeError:
                value = [stripped]
        else:
            value = stripped.split("|")
    if not isinstance(value, list):
        value = [value]
    return [text for item in value if (text := " ".join(str(item).split()))]


def read_pairs(source: str) -> list[Pair]:
    """Read a pair file; rows that name the same track become one pair.

    Raises:
        DatasetError: The file is unreadable or empty, a column or a value is missing, a split is unknown or
            differs between rows of one track.
        StorageError: The file cannot be fetched.
    """
    table = read_table(source)
    names = table.column_names
    if "uri" not in names or not {"caption", "captions"} & set(names):
        raise DatasetError(
            f"{source}: needs the columns `uri` and `caption` (or `captions`); it has {', '.join(names) or 'none'}"
        )
    pairs: dict[str, Pair] = {}
    wanted = [name for name in ("track_id", "uri", "caption", "captions", "tags", "split") if name in names]
    for line, row in enumerate(table.select(wanted).to_pylist(), start=1):
        uri = row["uri"]
        captions = _texts(row.get("captions"))
        # A single caption is one sentence whatever it contains.
        captions += [text for text in ([" ".join(str(row["caption"]).split())] if row.get("caption") else []) if text]
        if not uri or not captions:
            raise DatasetError(f"{source}, pair {line}: has no {'uri' if not uri else 'caption'}")
        split = split_name(str(row["split"])) if row.get("split") else None
        track = str(row.get("track_id") or uri)
        known = pairs.get(track)
        if known is None:
            pairs[track] = Pair(
                track_id=track,
                uri=str(uri),
                captions=tuple(dict.fromkeys(captions)),
                tags=tuple(dict.fromkeys(_texts(row.get("tags")))),
                split=split,
            )
            continue
        if known.uri != uri or known.split != split:
            raise DatasetError(f"{source}, pair {line}: track {track!r} appears twice with another uri or split")
        pairs[track] = replace(known, captions=tuple(dict.fromkeys([*known.captions, *captions])))
    if not pairs:
        raise DatasetError(f"{source}: there are no pairs in it")
    return list(pairs.values())
