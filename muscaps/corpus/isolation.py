"""A renderer in a process of its own, which can be killed when a score hangs."""

import multiprocessing
import signal
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection

from muscaps.corpus.clip import Clip, ClipSpec, render_clip

FIRST_CLIP_LIMIT = 3.0
"""The first clip of a process may take this many times the limit: it loads the soundfonts."""


class RenderError(RuntimeError):
    """A clip that could not be rendered.

    Attributes:
        error_type: `timed_out`, `crashed` or `unrenderable`.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def _serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    while True:
        try:
            spec = connection.recv()
        except EOFError:
            return
        try:
            connection.send(render_clip(spec))
        except Exception as error:  # any error of a score is a failure of that clip alone
            connection.send(f"{type(error).__name__}: {error}")


class IsolatedRenderer(AbstractContextManager["IsolatedRenderer"]):
    """Render clips one by one in a child process; a clip over its time limit fails and the child is replaced."""

    def __init__(self, *, time_limit_s: float = 20.0) -> None:
        """Prepare; the child starts with the first clip.

        Raises:
            ValueError: A time limit that is not positive.
        """
        if time_limit_s <= 0:
            raise ValueError(f"time_limit_s must be positive, not {time_limit_s}")
        self.time_limit_s = time_limit_s
        self._connection: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    def __exit__(self, *exception: object) -> None:
        self.close()

    def render(self, spec: ClipSpec) -> Clip:
        """Render one clip within the time limit.

        Raises:
            RenderError: It timed out, crashed its process or cannot be rendered.
        """
        limit_s = self.time_limit_s
        if self._connection is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            limit_s *= FIRST_CLIP_LIMIT
        name = f"clip {spec.index} of seed {spec.seed}"
        try:
            self._connection.send(spec)
            if not self._connection.poll(limit_s):
                self.close()
                raise RenderError("timed_out", f"{name} took more than {limit_s:.0f} s")
            result = self._connection.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise RenderError("crashed", f"{name} crashed the renderer: {error}") from error
        if isinstance(result, Clip):
            return result
        raise RenderError("unrenderable", f"{name}: {result}")

    def close(self) -> None:
        """End the child."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._connection, self._process = None, None
