"""What the service refuses, and the one table that turns an error class into a status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from thinfer.errors import (
    DataError,
    EngineError,
    InternalError,
    OverloadError,
    QualityError,
    ThinferError,
    UserError,
)

__all__ = [
    "STATUS",
    "AdminOffError",
    "Answer",
    "BodyTooLargeError",
    "BundleRefusedError",
    "ClientGoneError",
    "DrainingError",
    "InvalidBodyError",
    "LateError",
    "MalformedError",
    "NotFoundError",
    "NotReadyError",
    "SlowBodyError",
    "SwapBusyError",
    "TextRefusedError",
    "TooManyTextsError",
    "TooManyWindowsError",
    "UnauthorizedError",
    "UnknownVersionError",
    "UnsupportedEncodingError",
    "UpstreamError",
    "VersionInUseError",
    "WorkerStoppedError",
    "answer_for",
]


class MalformedError(UserError):
    """The bytes are not what they claim to be: broken JSON, broken UTF-8."""


class InvalidBodyError(UserError):
    """The JSON is well formed but a field has the wrong type or value."""


class BodyTooLargeError(UserError):
    """The body is longer than the service reads."""


class TooManyTextsError(UserError):
    """One request holds more texts than the queue has places, so it could never be admitted."""


class TooManyWindowsError(UserError):
    """A text needs more windows than the service reads of one text."""


class NotFoundError(UserError):
    """No such model or version, or the model has not what the route needs."""


class UnsupportedEncodingError(UserError):
    """The body is compressed, or holds binary tensors."""


class SlowBodyError(UserError):
    """The body did not arrive within its time."""


class UnauthorizedError(UserError):
    """The request has no key, or a wrong one."""


class AdminOffError(UserError):
    """The service was started without an admin key, so nobody may use the admin routes."""


class UnknownVersionError(UserError):
    """No loaded version has this name."""


class VersionInUseError(UserError):
    """The change contradicts what the versions do now."""


class SwapBusyError(UserError):
    """Another bundle is being loaded."""


class BundleRefusedError(UserError):
    """A bundle did not pass the checks before the switch; the old one goes on."""


class LateError(OverloadError):
    """The request's own deadline passed before it was computed."""


class ClientGoneError(ThinferError):
    """The client closed the connection before its answer."""


class DrainingError(OverloadError):
    """The service is stopping and takes no new work."""


class NotReadyError(EngineError):
    """The readiness inference failed or took too long."""


class TextRefusedError(UserError):
    """A bigger model elsewhere will not read this text; the cascade answers without it."""


class UpstreamError(EngineError):
    """A bigger model elsewhere gave no answer that can be used; the cascade answers without it."""


class WorkerStoppedError(EngineError):
    """The thread that runs the engine has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How an error is answered and counted.

    Attributes:
        status: HTTP status.
        kind: machine-readable name in the answer; the `reason` where the outcome is `refused`.
        outcome: `invalid` (the client's mistake), `refused` (not now, or too big), `failed`
            (ours) or `cancelled` (nobody waits any more).
    """

    status: int
    kind: str
    outcome: str


STATUS: Mapping[type[ThinferError], Answer] = MappingProxyType(
    {
        ThinferError: Answer(status=500, kind="internal", outcome="failed"),
        UserError: Answer(status=422, kind="invalid", outcome="invalid"),
        MalformedError: Answer(status=400, kind="malformed", outcome="invalid"),
        InvalidBodyError: Answer(status=422, kind="invalid", outcome="invalid"),
        BodyTooLargeError: Answer(status=413, kind="body_too_large", outcome="refused"),
        TooManyTextsError: Answer(status=413, kind="too_many_texts", outcome="refused"),
        TooManyWindowsError: Answer(status=413, kind="too_many_windows", outcome="refused"),
        NotFoundError: Answer(status=404, kind="not_found", outcome="invalid"),
        UnsupportedEncodingError: Answer(
            status=415, kind="unsupported_encoding", outcome="invalid"
        ),
        SlowBodyError: Answer(status=408, kind="slow_body", outcome="refused"),
        UnauthorizedError: Answer(status=401, kind="unauthorized", outcome="refused"),
        AdminOffError: Answer(status=403, kind="admin_off", outcome="refused"),
        UnknownVersionError: Answer(status=404, kind="unknown_version", outcome="invalid"),
        VersionInUseError: Answer(status=409, kind="version_in_use", outcome="invalid"),
        SwapBusyError: Answer(status=409, kind="swap_running", outcome="refused"),
        BundleRefusedError: Answer(status=422, kind="bundle_refused", outcome="invalid"),
        DataError: Answer(status=422, kind="invalid", outcome="invalid"),
        QualityError: Answer(status=500, kind="internal", outcome="failed"),
        EngineError: Answer(status=500, kind="engine", outcome="failed"),
        NotReadyError: Answer(status=503, kind="not_ready", outcome="refused"),
        TextRefusedError: Answer(status=422, kind="invalid", outcome="invalid"),
        UpstreamError: Answer(status=503, kind="upstream", outcome="failed"),
        WorkerStoppedError: Answer(status=503, kind="worker_stopped", outcome="failed"),
        OverloadError: Answer(status=429, kind="queue_full", outcome="refused"),
        LateError: Answer(status=429, kind="deadline", outcome="refused"),
        DrainingError: Answer(status=503, kind="draining", outcome="refused"),
        InternalError: Answer(status=500, kind="internal", outcome="failed"),
        ClientGoneError: Answer(status=499, kind="client_gone", outcome="cancelled"),
    }
)


def answer_for(error: ThinferError) -> Answer:
    """Give the table's row for an error: its own class, or the nearest class above it."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
