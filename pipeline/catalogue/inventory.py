"""The `manifest.json` of an S3 Inventory as a catalogue: every audio file that the inventory names is a track."""

import json
import urllib.parse
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv

from pipeline import storage
from pipeline.catalogue.audio_suffixes import is_audio, suffixes_message
from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.parquet import ParquetReader
from pipeline.catalogue.reader import MAX_NAMED, numbered
from pipeline.catalogue.text_files import open_text


class InventoryReader:
    """Reads the files of an S3 Inventory.

    Raises:
        CatalogueError: The manifest is not one of an inventory, or the inventory is in ORC.
        StorageError: The manifest cannot be read.
    """

    def __init__(self, source: str) -> None:
        """Read the manifest `source`."""
        self.source = source
        try:
            manifest = json.loads(storage.read_bytes(source, max_bytes=2**28))
            self._bucket, self._format = manifest["sourceBucket"], manifest["fileFormat"].upper()
            self._columns = [name.strip().lower() for name in str(manifest["fileSchema"]).split(",")]
            self._keys = [part["key"] for part in manifest["files"]]
            self._home = str(manifest.get("destinationBucket", self._bucket)).rpartition(":::")[2]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CatalogueError(f"{source}: not the manifest of an S3 Inventory ({error})") from None
        if self._format not in ("CSV", "PARQUET"):
            raise CatalogueError(
                f"{source}: an inventory in {self._format} is not read; have it written as CSV or Parquet"
            )
        self.base = f"s3://{self._bucket}/"

    def tables(self) -> Iterator[pa.Table]:
        """Yield `track_id` (the key), `uri` and `etag` of the audio files; see `Reader.tables`."""
        for key in self._keys:
            part = f"s3://{self._home}/{key}"
            listed = ParquetReader(part).tables() if self._format == "PARQUET" else self._csv_tables(part)
            for table in listed:
                yield self._audio(table)

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name files by their number in the inventory."""
        return numbered("file", [row + 1 for row in rows[:MAX_NAMED]], and_more=len(rows) > MAX_NAMED)

    def no_tracks_message(self) -> str:
        """Explain an inventory without audio."""
        return f"{self.source}: the inventory names no audio file; {suffixes_message()}"

    def _csv_tables(self, uri: str) -> Iterator[pa.Table]:
        names = [name.replace(" ", "_") for name in self._columns]
        with open_text(uri) as stream:
            reader = pyarrow.csv.open_csv(
                stream,
                pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
                pyarrow.csv.ParseOptions(newlines_in_values=True),
                pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in names}),
            )
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def _audio(self, table: pa.Table) -> pa.Table:
        """Keep the newest versions of audio files; keys in CSV are percent-encoded."""
        names = {name.lower().replace("_", ""): name for name in table.column_names}

        def texts(name: str, default: str | None) -> list[str | None]:
            if name not in names:
                return [default] * table.num_rows
            values: list[str | None] = table[names[name]].cast(pa.string()).to_pylist()
            return values

        kept = [
            (urllib.parse.unquote_plus(key) if self._format == "CSV" else key, etag)
            for key, etag, newest in zip(
                texts("key", None), texts("etag", None), texts("islatest", "true"), strict=True
            )
            if key and is_audio(key) and newest != "false"
        ]
        return pa.table(
            {
                "track_id": pa.array([key for key, _ in kept], pa.string()),
                "uri": pa.array([f"s3://{self._bucket}/{key}" for key, _ in kept], pa.string()),
                "etag": pa.array([etag for _, etag in kept], pa.string()),
            }
        )
