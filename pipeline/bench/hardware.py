"""The machine of a benchmark: description, rate of matrix products, utilization of GPUs."""

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

from pipeline.captioning.versions import installed_versions

if TYPE_CHECKING:
    from muscaps.captioner import Captioner

MATMUL_SIZE = {"cpu": 1_536, "cuda": 8_192}
"""Number of rows and columns of the timed matrix product, by device."""
MATMUL_REPEATS = 5


def describe_machine(num_gpus: int) -> dict[str, Any]:
    """Return processor, cores, memory, GPUs, load and versions as JSON values."""
    import torch  # takes seconds

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


def matmul_flops_per_second(captioner: "Captioner") -> float:
    """Time a large matrix product in the precision of a captioner's audio network.

    Returns:
        FLOP per second of a GPU, or of the cores that torch uses here; the median of `MATMUL_REPEATS`.
    """
    import torch

    device, precision = captioner.device, captioner.precision
    size = MATMUL_SIZE[device.type]
    matrix = torch.rand(size, size, device=device, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    seconds = []
    try:
        for number in range(MATMUL_REPEATS + 1):
            started = time.perf_counter()
            matrix @ matrix
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:  # the first is a warm-up
                seconds.append(time.perf_counter() - started)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * size**3 / statistics.median(seconds)


def flops_per_chunk(captioner: "Captioner") -> float:
    """Count the FLOP of the products and convolutions of one chunk's feature."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    chunks = torch.zeros(2, captioner.chunk_samples, device=captioner.device)

    def in_place(_: Any, left: Any, right: Any, **__: Any) -> int:
        return int(2 * left[0] * left[1] * right[1])

    uncounted = {torch.ops.aten.addmm_: in_place}  # torch counts only the form that is not in place
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=uncounted) as counter:
        captioner._extract(chunks)
    return float(counter.get_total_flops()) / len(chunks)


class GpuUtilization:
    """Context manager that samples the utilization of this machine's GPUs with `nvidia-smi`."""

    def __init__(self, interval_s: float = 1.0) -> None:
        """Prepare sampling at intervals of `interval_s` seconds."""
        self._interval = interval_s
        self._program = shutil.which("nvidia-smi")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="muscaps-gpus", daemon=True)
        self._samples: list[tuple[float, float]] = []

    def __enter__(self) -> "GpuUtilization":
        if self._program:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._program:
            self._thread.join()

    def utilization_since(self, moment: float) -> float | None:
        """Return the mean utilization of the GPUs since `moment` (a `time.time()`), 0 to 1; None without samples."""
        shares = [share for when, share in self._samples if when >= moment]
        return round(statistics.mean(shares), 3) if shares else None

    def _watch(self) -> None:
        assert self._program
        command = [self._program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._ended.wait(self._interval):
            with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError, statistics.StatisticsError):
                output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
                share = statistics.mean(float(line) for line in output.split()) / 100
                self._samples.append((time.time(), share))
