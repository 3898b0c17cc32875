"""Arguments and options that several commands share."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.addresses import checked_address

if TYPE_CHECKING:
    from muscaps.config import ExtractorConfig

CatalogueArgument = Annotated[
    str, typer.Argument(help="CSV, TSV, JSONL or Parquet file, folder, or s3://, gs:// or az:// prefix.")
]
OutputArgument = Annotated[str, typer.Argument(help="Folder, or s3://, gs:// or az:// prefix of the results.")]
CheckpointOption = Annotated[str | None, typer.Option(metavar="DIR", help="Model; default: the bundled one.")]
BeamOption = Annotated[int, typer.Option(metavar="N", help="Beam size; 1 is greedy decoding.")]
PrecisionOption = Annotated[
    str,
    typer.Option(metavar="TYPE", help="float32, bfloat16 or (GPU only) tf32; used only in layers that get faster."),
]
EffortOption = Annotated[
    str | None,
    typer.Option(
        metavar="quick|balanced|thorough",
        help="Evenly spaced chunks per track: 5, 7 or 20. Default: balanced, or thorough with segments or attention. "
        "Thorough decodes the whole file and finds damage anywhere in it.",
    ),
]
WorkersPerGpuOption = Annotated[int, typer.Option(metavar="N", help="Captioning workers per GPU.")]
GpusOption = Annotated[int | None, typer.Option(metavar="N", help="GPUs to use; default: all.")]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        callback=checked_address,
        help="Ray cluster that this machine belongs to, HOST:6379 or auto; default: start Ray here. From another "
        "machine: muscaps submit.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class Extractor(StrEnum):
    """An audio network."""

    MUSICNN = "musicnn"
    HCNN = "hcnn"

    def config(self, channels: int | None, frontend_scale: float) -> "ExtractorConfig":
        """Return the configuration of a new network; without `channels` it has the published number of them."""
        from muscaps.config import ExtractorConfig

        published = 64 if self is Extractor.MUSICNN else 128
        return ExtractorConfig(name=self.value, num_channels=channels or published, frontend_scale=frontend_scale)


NumWorkersOption = Annotated[int, typer.Option(metavar="N", min=1, help="Data-parallel processes.")]
GpuOption = Annotated[bool, typer.Option("--gpu", help="Use one GPU per worker.")]
ThreadsOption = Annotated[int | None, typer.Option(metavar="N", min=1, help="CPU threads of each worker.")]
MaxEpochsOption = Annotated[int, typer.Option(metavar="N", min=1, help="Maximum number of epochs.")]
NameOption = Annotated[str, typer.Option(help="Short name, the first part of model_id.")]
