"""On which runtime many runs go."""

from everbloom.config import RuntimeConfig
from simulation.campaign import runtime as runtimes
from simulation.campaign.runtime import fastest_runtime


def test_the_fastest_runtime(monkeypatch):
    plain = RuntimeConfig()
    monkeypatch.setattr(runtimes.torch.cuda, "is_available", lambda: False)
    assert fastest_runtime(plain, 1e4).workers == 1  # starting workers would take longer
    assert fastest_runtime(plain, 1e7).workers == "cores"
    assert fastest_runtime(RuntimeConfig(workers="cores"), 1e4).workers == 1
    assert fastest_runtime(RuntimeConfig(workers=3), 1e7).workers == 3
    assert fastest_runtime(RuntimeConfig(memory_mb=900), 1e7).workers == 1
    assert fastest_runtime(RuntimeConfig(name="flower", clients="one-by-one"), 1e4) == RuntimeConfig(device="auto")
    assert fastest_runtime(RuntimeConfig(name="ray", workers=1), 1e7) == RuntimeConfig(name="ray", device="auto")
    monkeypatch.setattr(runtimes.torch.cuda, "is_available", lambda: True)
    assert fastest_runtime(plain, 1e7) == RuntimeConfig(device="auto")
