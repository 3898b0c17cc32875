"""MusCaps: music captioning, the model library.

Each public name is imported on first use, so that `import muscaps` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muscaps.audio import AudioError as AudioError
    from muscaps.audio import load_audio as load_audio
    from muscaps.caption import Caption as Caption
    from muscaps.captioner import Captioner as Captioner
    from muscaps.config import DecodingOptions as DecodingOptions

__version__ = "0.1.0"
__all__ = ["AudioError", "Caption", "Captioner", "DecodingOptions", "__version__", "load_audio"]

_HOME = {
    "AudioError": "muscaps.audio",
    "Caption": "muscaps.caption",
    "Captioner": "muscaps.captioner",
    "DecodingOptions": "muscaps.config",
    "load_audio": "muscaps.audio",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'muscaps' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
