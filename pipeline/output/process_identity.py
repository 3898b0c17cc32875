"""A name for a process that no other process has or will have, on this machine or another."""

import contextlib
import os
import socket


def machine_identity() -> str:
    """This boot of this machine, as seen from this process's namespace: where process numbers mean the same."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{boot}/{namespace}"


def process_identity(pid: int) -> str:
    """A running process, told from any other of the same number; empty where there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        if fields[0] in "ZX":  # killed, but not yet buried by its parent
            return ""
        return f"{machine_identity()}/{pid}-{fields[19]}"
    except OSError:
        pass
    if os.path.exists("/proc/self/stat"):
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return f"{machine_identity()}/{pid}-"
