"""Peak memory of a program, measured from outside in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from thinfer.errors import EngineError

__all__ = ["peak_rss_of"]

# The kernel counts the memory of the process that starts a program into that program's peak
# (until exec, the child is a copy of its parent), and a parent with torch in it is large. So a
# bare interpreter starts the program and reads the peak of exactly that child.
_STARTER = """
import os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ,
                        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def peak_rss_of(
    argv: Sequence[str],
    *,
    timeout_s: float = 600.0,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a program and give its peak resident memory.

    Args:
        argv: the program's path and arguments; what it prints is dropped.
        timeout_s: seconds after which it is killed.
        environment: of the program; this process's own when absent.

    Returns:
        Bytes, of that process alone: memory of its own children is not in it.

    Raises:
        EngineError: it cannot be started, fails, or takes too long.
    """
    starter = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _STARTER, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=None if environment is None else dict(environment),
        start_new_session=True,
    )
    try:
        output, errors = starter.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        # The group is the starter and the program, and nobody else.
        os.killpg(starter.pid, signal.SIGKILL)
        starter.communicate()
        what = "the program whose memory is measured takes too long"
        raise EngineError(what, expected=f"an end within {timeout_s:.0f} s", got=argv[0]) from error
    code, _, peak = output.strip().partition(" ")
    if code != "0":
        what = "the program whose memory is measured failed"
        last = errors.strip().splitlines()[-1:] or ["no message"]
        raise EngineError(what, expected="exit status 0", got=f"{code or 'no start'}: {last[0]}")
    # Linux counts in KiB, macOS in bytes.
    return int(peak) * (1 if sys.platform == "darwin" else 1024)
