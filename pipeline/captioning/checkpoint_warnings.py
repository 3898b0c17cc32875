"""What a user should know of a checkpoint before a catalogue is captioned with it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from muscaps.config import DecodingOptions

if TYPE_CHECKING:
    from muscaps.checkpoint import Checkpoint


def checkpoint_warnings(checkpoint: "Checkpoint", options: DecodingOptions) -> Iterator[str]:
    """Yield one sentence for each reason to think twice.

    Args:
        checkpoint: The captioner.
        options: How captions are searched for.
    """
    if options.attention and checkpoint.model_config.fusion != "attention":
        yield f"{checkpoint.model_id} has no attention weights to save"
    comparison = checkpoint.card.get("comparison") or {}
    if comparison.get("verdict") == "worse":
        yield (
            f"{checkpoint.model_id} was fine-tuned and is worse than {comparison.get('started_from')}, which it "
            f"started from, on {comparison.get('num_pairs')} held-out pairs; `muscaps checkpoint show` has the numbers"
        )
