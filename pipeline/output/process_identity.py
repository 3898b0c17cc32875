"""Names of processes that are unique over time and machines.

A process number is not unique: the system uses numbers again, and every container has its own. The name therefore also
has the machine, its boot, the process namespace and the start time of the process.
"""

import contextlib
import os
import socket


def machine_identity() -> str:
    """Return a name for this boot of this machine and the process namespace of this process."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{boot}/{namespace}"


def process_identity(pid: int) -> str:
    """Return the name of the running process `pid`; empty if there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        if fields[0] in "ZX":  # has ended, but its parent has not collected it
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
