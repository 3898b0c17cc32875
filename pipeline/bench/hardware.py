"""What a benchmark runs on: its description, the pace of its multiplications, and how busy its GPUs are."""

import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muscaps.captioner import Captioner

PEAK_SIZE = {"cpu": 1_536, "cuda": 8_192}
"""Rows and columns of the matrices whose product shows a processor's pace."""
PEAK_REPEATS = 5


def describe_machine(num_gpus: int) -> dict[str, Any]:
    """Tell processor, cores, memory, GPUs, load and versions, ready for JSON."""
    import torch

    from pipeline.captioning.versions import installed_versions

    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": [torch.cuda.get_device_name(index) for index in range(num_gpus if torch.cuda.is_available() else 0)],
        "load_average": round(os.getloadavg()[0], 1),
        "versions": installed_versions(),
    }


def multiplying_rate(captioner: "Captioner") -> float:
    """Time a large product of matrices as a captioner's audio network multiplies.

    Returns:
        FLOP a second: a GPU's, or that of as many cores as torch has threads here; the median of `PEAK_REPEATS`.
    """
    import torch

    device, precision = captioner.device, captioner.precision
    size = PEAK_SIZE[device.type]
    matrix = torch.rand(size, size, device=device, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    seconds = []
    try:
        for number in range(PEAK_REPEATS + 1):
            started = time.perf_counter()
            matrix @ matrix
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:  # the first warms up
                seconds.append(time.perf_counter() - started)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * size**3 / statistics.median(seconds)


def flops_per_chunk(captioner: "Captioner") -> float:
    """Count the FLOP of products and convolutions in which the audio network hears a chunk, as arranged here."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    chunks = torch.zeros(2, captioner.chunk_samples, device=captioner.device)

    def in_place(_: Any, left: Any, right: Any, **__: Any) -> int:
        return int(2 * left[0] * left[1] * right[1])

    uncounted = {torch.ops.aten.addmm_: in_place}  # torch counts the other form
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=uncounted) as counter:
        captioner._extract(chunks)
    return float(counter.get_total_flops()) / len(chunks)


class GpuWatch:
    """Asks `nvidia-smi` once a second how busy this machine's GPUs are, for as long as the context lasts."""

    def __init__(self, interval_s: float = 1.0) -> None:
        """Prepare to ask every so many seconds."""
        self._interval = interval_s
        self._program = shutil.which("nvidia-smi")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="muscaps-gpus", daemon=True)
        self._samples: list[tuple[float, float]] = []

    def __enter__(self) -> "GpuWatch":
        if self._program:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._program:
            self._thread.join()

    def busy_since(self, moment: float) -> float | None:
        """Share of the time since a `time.time()` in which a GPU computed, 0 to 1; None if nobody can tell."""
        shares = [share for when, share in self._samples if when >= moment]
        return round(statistics.mean(shares), 3) if shares else None

    def _watch(self) -> None:
        assert self._program
        question = [self._program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._ended.wait(self._interval):
            with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError, statistics.StatisticsError):
                answer = subprocess.run(question, capture_output=True, text=True, timeout=10, check=True).stdout
                share = statistics.mean(float(line) for line in answer.split()) / 100
                self._samples.append((time.time(), share))
