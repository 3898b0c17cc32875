"""Parquet files. Rows count from 1."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.catalogue.errors import CatalogueError
from pipeline.catalogue.reader import BATCH_ROWS, MAX_NAMED, numbered


class ParquetReader:
    """Reads a Parquet file."""

    def __init__(self, source: str) -> None:
        """Prepare to read `source`."""
        self.source = self.base = source

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows without the index that pandas may have stored; see `Reader.tables`."""
        try:
            filesystem, path = storage.filesystem(self.source)
            with pq.ParquetFile(path, filesystem=filesystem) as file:
                names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=names):
                    yield pa.Table.from_batches([batch])
        except FileNotFoundError:
            raise CatalogueError(f"{self.source}: there is no such file") from None
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise CatalogueError(f"{self.source}: not a readable Parquet file: {error}") from None

    def describe_rows(self, rows: Sequence[int]) -> str:
        """Name rows by their number."""
        return numbered("row", [row + 1 for row in rows[:MAX_NAMED]], and_more=len(rows) > MAX_NAMED)

    def no_tracks_message(self) -> str:
        """Explain an empty file."""
        return f"{self.source}: there are no tracks in it"
