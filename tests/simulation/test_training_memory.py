"""What an experiment's memory leaves for training."""

import pytest

from everbloom.config import RuntimeConfig
from everbloom.errors import ConfigError
from everbloom.memory import peak_bytes
from simulation.memory import PeakMemory, process_name, training_memory


def test_no_limit():
    assert training_memory(RuntimeConfig(), others=10**12, workers=3) is None


def test_a_process_holds_what_python_and_torch_take():
    assert 30e6 < peak_bytes() < 30e9


@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_left_is_shared_and_never_more_than_allowed(workers):
    runtime = RuntimeConfig(memory_mb=100_000)
    mine, others = peak_bytes(), 2 * 10**9
    left = training_memory(runtime, others, workers)
    assert 0 < left < (10**11 - others) / workers - mine
    assert workers * (left + mine) + others <= 10**11


@pytest.mark.parametrize("workers", [1, 2])
def test_too_little_is_refused_in_one_line(workers):
    with pytest.raises(ConfigError, match=rf"runtime\.memory_mb: 1 MB are not enough.*{workers} worker") as refused:
        training_memory(RuntimeConfig(memory_mb=1), others=0, workers=workers)
    assert "\n" not in str(refused.value)


def test_more_workers_need_more():
    """A limit that is enough for one may be too little for several."""
    enough = RuntimeConfig(memory_mb=int(peak_bytes() / 1e6 * 1.5))
    assert training_memory(enough, others=0, workers=1)
    with pytest.raises(ConfigError, match="memory_mb"):
        training_memory(enough, others=peak_bytes(), workers=2)


def test_peaks_are_added_over_processes():
    """The last word of each is its own peak, this process among them."""
    peak = PeakMemory()
    assert peak.megabytes() == pytest.approx(peak_bytes() / 1e6, rel=0.1)
    peak.note("elsewhere:1", 10 * 10**9)
    peak.note("elsewhere:2", 5 * 10**9)
    peak.note("elsewhere:1", 4 * 10**9)
    assert peak.megabytes() == pytest.approx(15_000 + peak_bytes() / 1e6, rel=0.01)
    peak.note(process_name(), 1)
    assert peak.megabytes() == pytest.approx(15_000 + peak_bytes() / 1e6, rel=0.01)
