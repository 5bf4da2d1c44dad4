"""The one sentence of a claim: every mechanism fills in the same parts, so that none can leave one out."""

from dataclasses import dataclass

DEVICE_TRUSTED = "The device is trusted; the server, the other devices and the network are not."
SERVER_TRUSTED = (
    "The device and the server are trusted: the server sees every clipped update and adds the noise. "
    "Whoever sees the models of all rounds is not."
)

EVALUATION = "central evaluation and the choice of the best round, which read held-out events of simulated users"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Parts of a claim, without full stops."""

    what: str
    epsilon: float
    delta: float
    scope: str = ""
    relation: str
    unit: str = ""
    """What a unit is not, in whole sentences."""
    mechanism: str
    trust: str
    """In whole sentences."""
    not_covered: str
    only_at: str | None = None
    """For simulated noise: where alone the figure holds, in whole sentences."""

    def text(self) -> str:
        """The claim."""
        parts = (
            self.only_at,
            f"{self.what} are ({self.epsilon:.3g}, {self.delta:g})-differentially private{self.scope and ' ' + self.scope}, "
            f"with respect to {self.relation}.",
            self.unit,
            f"Mechanism: {self.mechanism}.",
            self.trust,
            f"Not covered: {self.not_covered}.",
        )
        return " ".join(part for part in parts if part)
