"""What is written of a request: one log line and its id; never a text, a query or a body."""

from __future__ import annotations

import itertools
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["JsonLines", "RequestIds", "configure_logging"]

# Printable, without spaces, and short: it goes into a header and into every log line.
ACCEPTED = re.compile(rb"[\x21-\x7e]{1,64}")
PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s"


class RequestIds:
    """Gives each request a name by which its log line and its answer can be found.

    Args:
        prefix: of the ids made here; another one for each process.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = itertools.count(1)

    def take(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Give the client's `x-request-id` if it is short and printable, else a new one.

        Args:
            headers: of the request, names in small letters.
        """
        for name, value in headers:
            if name == b"x-request-id" and ACCEPTED.fullmatch(value):
                return value.decode("ascii")
        return f"{self._prefix}-{next(self._numbers):x}"


class JsonLines(logging.Formatter):
    """One JSON object a record; a record with `access` gives its fields in place of a message.

    Of an exception the type and the places are written, not the message: what a library says of
    a text may quote it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without its end."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        body: dict[str, object] = {
            "time": time,
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        access = getattr(record, "access", None)
        body |= access if isinstance(access, dict) else {"message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            body["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            body["trace"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(body, ensure_ascii=False)


def configure_logging(log_format: str) -> None:
    """Let this process log to stderr: everybody's warnings, and our own information.

    Args:
        log_format: `json` or `text`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter(PLAIN))
    logging.basicConfig(handlers=[handler], level="WARNING")
    logging.getLogger("thinfer").setLevel("INFO")
