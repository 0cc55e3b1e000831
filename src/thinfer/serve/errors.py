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
    "Answer",
    "BodyTooLargeError",
    "ClientGoneError",
    "DrainingError",
    "InvalidBodyError",
    "MalformedError",
    "NotReadyError",
    "SlowBodyError",
    "TooManyTextsError",
    "UnsupportedEncodingError",
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


class UnsupportedEncodingError(UserError):
    """The body is compressed."""


class SlowBodyError(UserError):
    """The body did not arrive within its time."""


class ClientGoneError(ThinferError):
    """The client closed the connection before its answer."""


class DrainingError(OverloadError):
    """The service is stopping and takes no new work."""


class NotReadyError(EngineError):
    """The readiness inference failed or took too long."""


class WorkerStoppedError(EngineError):
    """The thread that runs the engine has ended."""


@dataclass(frozen=True, slots=True)
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
        ThinferError: Answer(500, "internal", "failed"),
        UserError: Answer(422, "invalid", "invalid"),
        MalformedError: Answer(400, "malformed", "invalid"),
        InvalidBodyError: Answer(422, "invalid", "invalid"),
        BodyTooLargeError: Answer(413, "body_too_large", "refused"),
        TooManyTextsError: Answer(413, "too_many_texts", "refused"),
        UnsupportedEncodingError: Answer(415, "unsupported_encoding", "invalid"),
        SlowBodyError: Answer(408, "slow_body", "refused"),
        DataError: Answer(422, "invalid", "invalid"),
        QualityError: Answer(500, "internal", "failed"),
        EngineError: Answer(500, "engine", "failed"),
        NotReadyError: Answer(503, "not_ready", "refused"),
        WorkerStoppedError: Answer(503, "worker_stopped", "failed"),
        OverloadError: Answer(429, "queue_full", "refused"),
        DrainingError: Answer(503, "draining", "refused"),
        InternalError: Answer(500, "internal", "failed"),
        ClientGoneError: Answer(499, "client_gone", "cancelled"),
    }
)


def answer_for(error: ThinferError) -> Answer:
    """Give the table's row for an error: its own class, or the nearest class above it."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
