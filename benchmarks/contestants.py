"""Who is compared: each contender's program, the environment it needs, and what it is in words."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import REPO

HERE = ".venv"
RAY = ".venv-bench-ray"
PFL = ".venv-bench-pfl"


@dataclass(frozen=True)
class Contestant:
    """`module` is run with a workload's folder and `arguments`; `cores`: how many it uses."""

    name: str
    module: str
    arguments: tuple[str, ...]
    cores: int
    environment: str
    says: str

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return REPO / self.environment / "bin" / "python"

    @property
    def command(self) -> list[str]:
        """To be followed by the workload's folder and the arguments."""
        return [str(self.python), "-m", f"benchmarks.contenders.{self.module}"]


_ALL = (
    Contestant("cohort", "cohort", ("1",), 1, HERE, "everbloom's cohort engine, one process"),
    Contestant("cohort-2", "cohort", ("2",), 2, HERE, "the same in two processes"),
    Contestant("loop", "loop", ("1",), 1, HERE, "one client after the other (Opacus where private), one process"),
    Contestant("loop-2", "loop", ("2",), 2, HERE, "the same in two processes"),
    Contestant("flower-ray", "flower_ray", (), 2, RAY, "Flower's engine on Ray, a node for each user, an actor a core"),
    Contestant("flower-ray-100", "flower_ray", ("100",), 2, RAY, "the same with 100 nodes that stand for any user"),
    Contestant("pfl", "pfl_research", ("1",), 1, PFL, "pfl-research, one process"),
    Contestant("pfl-2", "pfl_research", ("2",), 2, PFL, "the same in two processes"),
    Contestant("pooled", "pooled", ("1",), 1, HERE, "pooled minibatch SGD on the same examples, one thread"),
    Contestant("pooled-2", "pooled", ("2",), 2, HERE, "the same with two threads"),
    Contestant("round", "round", ("1",), 1, HERE, "whole rounds of `everbloom run`, one process"),
    Contestant("round-2", "round", ("2",), 2, HERE, "the same with two workers"),
)

CONTESTANTS = {contestant.name: contestant for contestant in _ALL}
