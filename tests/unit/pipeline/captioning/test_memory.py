"""The peak memory of a process."""

import mmap
import platform
import sys
from pathlib import Path

import pytest

from pipeline.captioning import memory

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports shared pages")
def test_memory_given_back_counts_and_shared_pages_do_not(monkeypatch):
    memory.peak_bytes()
    monkeypatch.setattr(memory, "_peak", 0)  # forget what other tests needed
    before = memory.peak_bytes()
    own = bytearray(b"x") * (300 * MIB)
    del own
    assert before + 250 * MIB < memory.peak_bytes() < before + 350 * MIB
    with mmap.mmap(-1, 500 * MIB, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS) as store:
        store[:: mmap.PAGESIZE] = bytes(len(store) // mmap.PAGESIZE)
        assert memory.peak_bytes() < before + 350 * MIB


def test_without_proc_the_system_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_PROCESS", tmp_path)
    assert memory.peak_bytes() > 10 * MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory")
def test_freed_memory_between_blocks_in_use_is_returned():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    blocks = [bytes(1000) for _ in range(200_000)]
    in_use = blocks[::1000]  # freed memory between them cannot be returned by shrinking the heap
    del blocks
    before = resident()
    memory.release_freed_memory()
    assert before - resident() > 100 * MIB
    assert len(in_use) == 200
