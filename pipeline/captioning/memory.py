"""How much memory a process has needed, Ray's object store apart."""

import contextlib
import resource
import sys
from pathlib import Path

_PROCESS = Path("/proc/self")
_peak = 0


def peak_bytes() -> int:
    """Largest resident size of this process so far, in bytes.

    Pages of Ray's object store are left out: a process that reads a block has its pages mapped, in time all of the
    store's, which all processes share and which is limited as a whole. They can be told apart only as of now, so the
    kernel is asked to begin a new maximum at each call, and the result is short by what was mapped in between: ask
    after each piece of work. Where the kernel cannot tell, the pages are counted.
    """
    global _peak
    _peak = max(_peak, _largest_since_last_call())
    return _peak


def _largest_since_last_call() -> int:
    try:
        status = dict(line.split(":", 1) for line in (_PROCESS / "status").read_text().splitlines())
        resident, shared = (int(status[name].removesuffix("kB")) for name in ("VmHWM", "RssShmem"))
    except (OSError, KeyError):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")
    return (resident - shared) * 1024
