"""The peak memory of a process."""

import mmap
import sys

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
