"""`StepReport`: what one compression step did, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from thinfer.errors import InternalError

__all__ = ["Outcome", "StepReport"]

Outcome = Literal["applied", "refused", "degraded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one step did.

    Attributes:
        step: name of the step, for example `prune`.
        outcome: `applied`: done as asked; `degraded`: done, but weaker than asked, and `reason`
            says how; `refused`: the state was handed back unchanged, and `reason` says why.
        reason: one sentence; empty only when applied.
        details: JSON-ready numbers of the step.
    """

    step: str
    outcome: Outcome
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.outcome != "applied" and not self.reason:
            what = f"step '{self.step}' was {self.outcome} without a reason"
            raise InternalError(what, do="name the reason where the step reports")
