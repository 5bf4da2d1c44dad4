"""Giving memory back to the system after loading, which needs much of it for a moment: free heap, and the code of libraries that only loading ran."""

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_DONTNEED = 4
"""MADV_DONTNEED: the pages leave this process; whatever of them is used again comes back from the file, most often out of the system's cache."""
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +(\S.*)?$", re.ASCII)


def give_back() -> None:
    """Where the C library and the system can (glibc on Linux); elsewhere nothing happens."""
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.malloc_trim(0)
        library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, end in unchanged_code(Path("/proc/self/smaps").read_text()):
            library.madvise(start, end - start, _DONTNEED)


def unchanged_code(smaps: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the mappings that hold a file's code as it is in the file: of these alone nothing can be lost. `smaps` as in proc(5)."""
    start = end = 0
    code = False
    for line in smaps.splitlines():
        if (found := _MAPPING.match(line)) is not None:
            start, end = int(found[1], 16), int(found[2], 16)
            code = found[3] == "r-xp" and (found[4] or "").startswith("/")
        elif code and line.split() == ["Private_Dirty:", "0", "kB"]:
            yield start, end
