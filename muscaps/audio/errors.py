"""Audio that cannot be decoded: the error and its wording."""

import errno

import av


class AudioError(ValueError):
    """A track that cannot be used: `error_type` for programs, the message for the editors of the catalogue.

    `error_type` is one of `empty_file`, `not_audio`, `no_audio_stream`, `encrypted`, `unsupported`,
    `damaged`, `too_short`, `too_long`, `silent`.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type

    def __reduce__(self) -> tuple[type["AudioError"], tuple[str, str]]:
        """Pickle with both arguments, so that the error crosses process boundaries."""
        return AudioError, (self.error_type, str(self))


def first_bytes(head: bytes) -> str:
    return f"it begins with the bytes {head[:8].hex(' ')}"


def ended_early(seconds: float, stated: float) -> str:
    return f"the file ends early: {clock(seconds)} of the {clock(stated)} its header gives"


def error_text(error: Exception) -> str:
    if isinstance(error, av.InvalidDataError):
        return "its data makes no sense to a decoder"
    if isinstance(error, av.FFmpegError) and (isinstance(error, EOFError) or error.errno == errno.EIO):
        return "it ends too soon"
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return f"the decoder says '{str(reason).strip().rstrip('.')}'"


def clock(seconds: float) -> str:
    """61.24 -> '1:01.2'; 5 -> '5.0 s'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds, 1), 60)
    if minutes < 60:
        return f"{minutes:.0f}:{rest:04.1f}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{rest:02.0f}"
