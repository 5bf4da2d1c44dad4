"""Memory that loading needed for a moment: given back without losing anything that a process still has."""

import ctypes
from pathlib import Path

import numpy as np

from client.service.giving_back import give_back, unchanged_code

SMAPS = """\
55d0c0000000-55d0c0010000 r-xp 00001000 fe:00 12   /usr/bin/python3
Rss:                  64 kB
Private_Dirty:         0 kB
7f0000000000-7f0000010000 r-xp 00000000 fe:00 13   /usr/lib/changed by somebody.so
Private_Dirty:         4 kB
7f0000100000-7f0000110000 r--p 00000000 fe:00 13   /usr/lib/relocated.so
Private_Dirty:         0 kB
7f0000200000-7f0000210000 r-xp 00000000 00:00 0    [vdso]
Private_Dirty:         0 kB
7f0000300000-7f0000310000 rw-p 00000000 00:00 0
Private_Dirty:         0 kB
7f0000400000-7f0000410000 r-xp 00000000 00:00 0
Private_Dirty:         0 kB
"""


def test_only_what_stands_in_a_file_unchanged_is_let_go():
    assert list(unchanged_code(SMAPS)) == [(0x55D0C0000000, 0x55D0C0010000)]
    assert list(unchanged_code("")) == []


def test_everything_still_works_afterwards_and_less_is_resident():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    values = np.random.default_rng(0).normal(size=(200, 200))
    before, product = resident(), values @ values
    give_back()
    assert resident() < before
    np.testing.assert_array_equal(values @ values, product)
    assert ctypes.CDLL(None).getpid() > 0
