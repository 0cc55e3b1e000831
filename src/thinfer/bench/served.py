"""`thinfer serve` as a process of its own, on a free loopback port and on cores of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from thinfer.bench.target import Target, parse_target
from thinfer.errors import EngineError

__all__ = ["Served", "own_cores", "serve_bundle"]

# The cores are set before anything starts a thread: a thread keeps those of its birth.
_PROGRAM = """
import os, sys
if sys.argv[1]:
    os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
del sys.argv[1]
from thinfer.cli.main import main
sys.exit(main())
"""
_STOP_S = 40.0
_LAST_LINES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A service that has announced itself.

    Attributes:
        target: its address, without a route.
        process: to read times of.
        cores: numbers of the cores that it may use; empty where the system sets no bounds.
    """

    target: Target
    process: psutil.Process
    cores: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """Give the processor time of the process and its children so far."""
        tree = [self.process, *self.process.children(recursive=True)]
        times = [each.cpu_times() for each in tree]
        return float(sum(each.user + each.system for each in times))


@contextmanager
def serve_bundle(
    bundle: Path, *, threads: int, engine: str | None = None, words: Sequence[str] = ()
) -> Iterator[Served]:
    """Start the service, wait until it answers, and end it after the block.

    Args:
        bundle: its folder.
        threads: of one engine call, and cores that the process may use.
        engine: of the bundle; the chosen one when absent.
        words: more options of `thinfer serve`.

    Yields:
        The running service.

    Raises:
        EngineError: it ended before it answered; the last lines it said are in the message.
    """
    cores = own_cores()[:threads]
    chosen = [] if engine is None else ["--engine", engine]
    popen = subprocess.Popen(
        [
            *(sys.executable, "-c", _PROGRAM, ",".join(map(str, cores))),
            *("serve", str(bundle), "--host", "127.0.0.1", "--port", "0"),
            *("--threads", str(threads), *chosen, *words),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    log: deque[str] = deque(maxlen=_LAST_LINES)
    reader: threading.Thread | None = None
    try:
        url = _wait_for_address(popen, log)
        # Someone must read on, or a full pipe would stop the service.
        reader = threading.Thread(target=lambda: log.extend(popen.stderr or ()), daemon=True)
        reader.start()
        target = parse_target(url, allow_remote=False)
        yield Served(target=target, process=psutil.Process(popen.pid), cores=tuple(cores))
    finally:
        _stop(popen)
        if reader is not None:
            reader.join(_STOP_S)
        if popen.stderr is not None:
            popen.stderr.close()


def own_cores() -> list[int]:
    """Give the numbers of the cores that this process may use; empty where nobody says."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _wait_for_address(popen: subprocess.Popen[str], log: deque[str]) -> str:
    """Give the URL that the service announces once a real inference has worked.

    Raises:
        EngineError: it ended before.
    """
    for line in popen.stderr or ():
        log.append(line.strip())
        found = re.match(r"serving \w+ on (http://\S+)", line)
        if found:
            return found[1]
    what = "thinfer serve ended before it answered"
    raise EngineError(what, got=" ".join(log)[-300:])


def _stop(popen: subprocess.Popen[str]) -> None:
    popen.send_signal(signal.SIGTERM)
    try:
        popen.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
