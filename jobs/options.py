"""Arguments and options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer

CatalogueArgument = Annotated[str, typer.Argument(help="CSV, TSV, JSONL, Parquet, folder or s3://")]


OutputArgument = Annotated[str, typer.Argument(help="Folder or s3:// prefix of the results.")]


CheckpointOption = Annotated[str | None, typer.Option(metavar="DIR", help="Model; default: the bundled one.")]


BeamOption = Annotated[int, typer.Option(metavar="N", help="Hypotheses kept; 1 is greedy.")]


PrecisionOption = Annotated[
    str, typer.Option(metavar="TYPE", help="float32; bfloat16 or, on a GPU, tf32 where the network is faster so.")
]


WorkersPerGpuOption = Annotated[int, typer.Option(metavar="N", help="Captioning workers that share a GPU.")]


JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class Extractor(StrEnum):
    """An audio network."""

    MUSICNN = "musicnn"
    HCNN = "hcnn"


NumWorkersOption = Annotated[int, typer.Option(min=1, help="Data-parallel processes.")]


GpuOption = Annotated[bool, typer.Option("--gpu", help="One GPU for each worker.")]


ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads of each worker.")]


RayAddressOption = Annotated[str | None, typer.Option(help="Ray cluster, ray://HOST:10001; else this machine.")]
