"""Named run configurations, as functions: what a command does unless told otherwise."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.captioning import CaptioningConfig


def demo(output: str) -> "CaptioningConfig":
    """Caption the bundled excerpts with the bundled checkpoint."""
    from jobs.demo import CATALOGUE
    from pipeline.captioning import CaptioningConfig

    return CaptioningConfig(catalogue=str(CATALOGUE), output=output, gpus=0, max_error_rate=1.0)


def retry_failed(
    catalogue: str,
    output: str,
    *,
    checkpoint: str | None = None,
    address: str | None = None,
    gpus: int | None = None,
) -> "CaptioningConfig":
    """Do the failed tracks of an output again, as its last run did them.

    Raises:
        ValueError: No run has written to the output.
    """
    from muscaps.config import DecodingOptions
    from pipeline import ledger
    from pipeline.captioning import CaptioningConfig

    record = ledger.last_run(output)
    if record is None:
        raise ValueError(f"{output}: no run has written there, so nothing has failed; use `muscaps caption`")
    before = record["config"]
    return CaptioningConfig(
        catalogue=catalogue,
        output=output,
        checkpoint=checkpoint or before["checkpoint"],
        options=DecodingOptions(**before["options"]),
        save_features=before["save_features"],
        max_chunks=before["max_chunks"],
        only_failed=True,
        max_error_rate=1.0,
        address=address,
        gpus=gpus,
    )
