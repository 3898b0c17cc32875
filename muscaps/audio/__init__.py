"""A track in any common format -> mono PCM at the model's rate -> chunks."""

from muscaps.audio.blocks import PCM_SCALE
from muscaps.audio.chunks import to_chunks
from muscaps.audio.decoding import MAX_SECONDS, MIN_SECONDS, DecodedAudio, decode_audio, load_audio
from muscaps.audio.errors import AudioError

__all__ = [
    "MAX_SECONDS",
    "MIN_SECONDS",
    "PCM_SCALE",
    "AudioError",
    "DecodedAudio",
    "decode_audio",
    "load_audio",
    "to_chunks",
]
