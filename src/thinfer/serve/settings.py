"""Settings of the service; the only place that reads the environment."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from thinfer.errors import UserError

__all__ = ["ServeSettings", "load_settings"]

MIB = 2**20


class ServeSettings(BaseSettings):
    """What `thinfer serve` can be told; `THINFER_SERVE_<NAME>` sets a value, a flag wins.

    Attributes:
        host: address to listen on.
        port: 0 takes a free one.
        engine: a name of the manifest; the chosen engine when absent.
        threads: of one engine call; the usable cores when absent.
        workers: processes that answer behind one socket.
        engine_workers: engine calls that may run side by side, on the same weights.
        max_queue: texts that may wait for the engine; more are answered with 429.
        max_batch_tokens: tokens of one engine call.
        max_batch_texts: texts of one engine call.
        quick_ms: a text alone whose engine call will not take longer, by the calls before, runs on
            the event loop and not on a worker's thread; 0 for never.
        max_body_bytes: of a request's body; more is answered with 413.
        max_windows: of one text that is read in windows; a longer text is answered with 413.
        window_overlap: share of a window that its neighbour reads too, at least.
        model_name: in the paths of the Open Inference Protocol; the bundle's folder when absent.
        head_timeout_s: for a request's line and headers to arrive.
        body_timeout_s: for a body to arrive.
        keep_alive_s: a connection may rest between two requests; longer than what stands in front
            of the service lets it rest (60 s is usual there), or requests meet a closing door.
        ready_timeout_s: for the inference that readiness makes.
        drain_notice_s: between readiness going false and the listening socket closing, at least.
        drain_timeout_s: for the requests in flight when the service is told to stop.
        console: whether the page at `/` is served.
        serve_key_file: its key is asked of the classify routes; open when absent.
        admin_key_file: its key is asked of the admin routes; closed when absent.
        max_versions: bundles loaded at once, the one kept for a rollback included.
        swap_max_slowdown: a new bundle that takes so many times as long a token is refused.
        trial_requests: after so many requests a version just switched to is trusted.
        arm_min_agreement: share of texts on which an arm must agree with the current version.
        arm_max_slowdown: an arm whose median request takes so many times as long is stopped.
        compare_share: share of an arm's requests that the current version sees too.
        access_log: one line a request, without its query and body.
        log_format: of all log lines.
        otel: one OpenTelemetry span a request; where to, the `OTEL_…` variables tell its library.
        cache_texts: answers that are kept, and equal texts are computed once; 0 for neither.
        cache_bytes: memory of the answers that are kept.
        drift_window: texts that the live histograms look back on; 0 for none.
        gate: a file of `thinfer fit-gate`; texts that it is sure of are answered by it.
        gate_policy: of `thinfer calibrate-cascade GATE`; how sure it must be.
        cascade: a policy of `thinfer calibrate-cascade`; texts below its threshold go on.
        cascade_to: where they go: a bundle, or the `http(s)://` address of another service.
        cascade_key_file: its first line is sent to that service as a Bearer token.
        cascade_budget: share of the texts of `cascade_window_s` that may go on.
        cascade_window_s: length of the window of the budget.
        cascade_timeout_s: for the bigger model's answer, connecting included.
        cascade_connect_timeout_s: for connecting alone.
        cascade_failures: in a row, after which the bigger model is left alone for a while.
        cascade_cooldown_s: how long.
    """

    model_config = SettingsConfigDict(
        env_prefix="THINFER_SERVE_", frozen=True, extra="forbid", protected_namespaces=()
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    engine: str | None = None
    threads: int | None = Field(default=None, ge=1)
    workers: int = Field(default=1, ge=1, le=256)
    engine_workers: int = Field(default=1, ge=1, le=64)
    max_queue: int = Field(default=512, ge=1)
    max_batch_tokens: int = Field(default=4096, ge=1)
    max_batch_texts: int = Field(default=64, ge=1)
    quick_ms: float = Field(default=1.0, ge=0, le=20)
    max_body_bytes: int = Field(default=8 * MIB, ge=1)
    max_windows: int = Field(default=64, ge=1)
    window_overlap: float = Field(default=0.25, ge=0.0, le=0.9)
    model_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    head_timeout_s: float = Field(default=10.0, gt=0)
    body_timeout_s: float = Field(default=30.0, gt=0)
    keep_alive_s: float = Field(default=75.0, gt=0)
    ready_timeout_s: float = Field(default=5.0, gt=0)
    drain_notice_s: float = Field(default=0.5, ge=0)
    drain_timeout_s: float = Field(default=30.0, gt=0)
    console: bool = True
    serve_key_file: Path | None = None
    admin_key_file: Path | None = None
    max_versions: int = Field(default=4, ge=2)
    swap_max_slowdown: float = Field(default=10.0, gt=1)
    trial_requests: int = Field(default=500, ge=0)
    arm_min_agreement: float = Field(default=0.95, gt=0, lt=1)
    arm_max_slowdown: float = Field(default=3.0, gt=1)
    compare_share: float = Field(default=0.1, ge=0, le=1)
    access_log: bool = False
    log_format: Literal["json", "text"] = "json"
    otel: bool = False
    cache_texts: int = Field(default=0, ge=0)
    cache_bytes: int = Field(default=64 * MIB, ge=1)
    drift_window: int = Field(default=4096, ge=0)
    place: str | None = None  # given by the process that starts several workers, never by a user
    gate: Path | None = None
    gate_policy: Path | None = None
    cascade: Path | None = None
    cascade_to: str | None = None
    cascade_key_file: Path | None = None
    cascade_budget: float = Field(default=1.0, ge=0, le=1)
    cascade_window_s: float = Field(default=60.0, gt=0)
    cascade_timeout_s: float = Field(default=1.0, gt=0)
    cascade_connect_timeout_s: float = Field(default=0.25, gt=0)
    cascade_failures: int = Field(default=5, ge=1)
    cascade_cooldown_s: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _check_limits_together(self) -> Self:
        if self.max_queue < self.max_batch_texts and "max_batch_texts" in self.model_fields_set:
            message = "max_queue must be at least max_batch_texts, or no batch could ever be full"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_cascade(self) -> Self:
        if (self.gate is None) != (self.gate_policy is None):
            message = "gate and gate_policy are needed together"
            raise ValueError(message)
        if self.gate is not None and self.cascade is not None:
            message = "gate and cascade exclude each other: nothing has judged them as one"
            raise ValueError(message)
        if (self.cascade is None) != (self.cascade_to is None):
            message = "cascade and cascade_to are needed together: a policy, and where texts go on"
            raise ValueError(message)
        # It is printed at the start, and a log is no place for a password.
        if self.is_cascade_remote and "@" in (self.cascade_to or "").split("/")[2]:
            message = "cascade_to must hold no user or password; use cascade_key_file"
            raise ValueError(message)
        return self

    @property
    def is_cascade_remote(self) -> bool:
        """Whether the bigger model is another service."""
        return (self.cascade_to or "").startswith(("http://", "https://"))

    def describe(self) -> str:
        """Give the resolved settings as one line of JSON; none of them is a secret."""
        return json.dumps(self.model_dump(mode="json", exclude={"place"}), ensure_ascii=False)

    def as_environment(self, *, without: Collection[str]) -> dict[str, str]:
        """Give the settings as variables that `load_settings` reads in another process.

        Args:
            without: names of settings to leave out.
        """
        found = self.model_dump(mode="json", exclude_none=True, exclude=set(without))
        return {
            f"THINFER_SERVE_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in found.items()
        }


def load_settings(flags: Mapping[str, object]) -> ServeSettings:
    """Read the environment and put the flags above it.

    Args:
        flags: values by setting name; None means that the flag was not given.

    Returns:
        The checked settings.

    Raises:
        UserError: a value is out of range, or two values contradict each other.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return ServeSettings(**given)  # type: ignore[arg-type]  # pydantic checks the values
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        what = f"the service cannot be set up: {name}: {first['msg']}"
        do = f"mend the flag, or THINFER_SERVE_{name.upper()}"
        raise UserError(what, do=do) from error
