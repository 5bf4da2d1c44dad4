"""How a privacy guarantee is kept."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    from everbloom.privacy.course import Setting
    from everbloom.privacy.plan import PrivacyPlan


class Mechanism(Method):
    """How a privacy guarantee is kept: who clips what, who adds which noise, and what it costs."""

    units: ClassVar[tuple[str, ...]]
    """Of what it can hide one more or one less."""

    @abstractmethod
    def plan(self, setting: "Setting") -> "PrivacyPlan":
        """The plan of an experiment. Raises `PrivacyError` with the reason if the guarantee could not be kept in this setting."""


MECHANISMS: Registry[Mechanism] = Registry(
    "privacy mechanism",
    Mechanism,  # type: ignore[type-abstract]
    {
        "dp-sgd": "everbloom.privacy.mechanisms.dp_sgd:DpSgd",
        "central": "everbloom.privacy.mechanisms.central:Central",
        "matrix-factorisation": "everbloom.privacy.mechanisms.matrix_factorisation:MatrixFactorisation",
        "distributed": "everbloom.privacy.mechanisms.distributed:Distributed",
        "local": "everbloom.privacy.mechanisms.local:Local",
    },
)
