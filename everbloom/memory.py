"""How much memory this process has held."""

import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """The most resident memory that this process has had so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says of a spawned process includes its parent's peak
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(peaks[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
