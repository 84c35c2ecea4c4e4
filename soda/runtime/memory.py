"""How much memory a process may still take."""

from __future__ import annotations

from pathlib import Path

_CONTAINER = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that the machine, or the container that this runs in, has left; None where the system does not say."""
    found = [left for left in (_of_machine(), _of_container()) if left is not None]
    return min(found) if found else None


def _of_machine() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _of_container() -> int | None:
    try:
        most = (_CONTAINER / "memory.max").read_text().strip()
        return None if most == "max" else int(most) - int((_CONTAINER / "memory.current").read_text())
    except (OSError, ValueError):
        return None
