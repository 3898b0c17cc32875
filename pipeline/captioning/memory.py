"""Memory of a process: its peak, Ray's object store excluded, and how freed memory is returned to the system."""

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

_PROCESS = Path("/proc/self")
_peak = 0


def peak_bytes() -> int:
    """Largest resident size of this process so far, in bytes.

    Pages of Ray's object store are excluded, because all processes share them: a process that reads a block maps the
    pages of the block, and in time those of the whole store. The kernel reports only the present number of shared
    pages. Each call therefore resets the kernel's maximum. The result is too small by the pages that were mapped
    between two calls, so that the function should be called after each piece of work. If the kernel reports no shared
    pages, they are included.
    """
    global _peak
    _peak = max(_peak, _largest_since_last_call())
    return _peak


def release_freed_memory() -> None:
    """Return freed memory to the system, if the C library is glibc; others do it themselves.

    Results of workers arrive in thousands of small allocations. glibc keeps the pages that they leave behind: 200 MiB
    after 20,000 tracks.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


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
