"""Start the service as a process of its own, ask it one question, and stop it."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinfer.core.clock import Clock
from thinfer.errors import EngineError

__all__ = ["ask_service"]

_ADDRESS = re.compile(r"http://\S+")
_POLL_S, _ANSWER_S, _STOP_S = 0.1, 30.0, 30.0


def ask_service(
    command: Sequence[str], question: str, *, log: Path, clock: Clock, ready_s: float = 60.0
) -> Mapping[str, Any]:
    """Give what a fresh service answers to one text.

    Args:
        command: starts the service; `--port 0` is added, so that it takes a free port and says
            on stderr which.
        question: the text.
        log: file of what the service says.
        clock: for the wait.
        ready_s: seconds until it must be ready.

    Returns:
        The JSON of `/check`, with `version` from the answer's header.

    Raises:
        EngineError: the service does not answer.
    """
    with _running(command, log=log, clock=clock, ready_s=ready_s) as address:
        url = f"{address}/check?" + urllib.parse.urlencode({"content": question})
        try:
            with urllib.request.urlopen(url, timeout=_ANSWER_S) as response:
                body: dict[str, Any] = json.load(response)
                return {**body, "version": response.headers.get("x-thinfer-version")}
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            what = "the service does not answer"
            raise EngineError(what, got=str(error), do=f"read '{log}'") from error


@contextmanager
def _running(command: Sequence[str], *, log: Path, clock: Clock, ready_s: float) -> Iterator[str]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", "0"], stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        yield _wait_for_address(process, log=log, clock=clock, ready_s=ready_s)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_address(
    process: subprocess.Popen[bytes], *, log: Path, clock: Clock, ready_s: float
) -> str:
    deadline = clock.monotonic() + ready_s
    while True:
        has_ended = process.poll() is not None
        said = log.read_text(encoding="utf-8", errors="replace")
        # A line that is not complete yet may hold half of an address.
        found = _ADDRESS.search(said[: said.rfind("\n") + 1])
        if found:
            return found[0]
        if has_ended or clock.monotonic() > deadline:
            what = "the service did not start"
            last = said.strip().rpartition("\n")[2]
            raise EngineError(what, got=last or "no word from it", do=f"read '{log}'")
        time.sleep(_POLL_S)
