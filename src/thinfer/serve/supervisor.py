"""Several worker processes behind one socket: start them, replace one that dies, stop them all."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path

from thinfer.core.clock import Clock
from thinfer.errors import EngineError
from thinfer.serve.listening import open_listener, url_of
from thinfer.serve.peers import Place
from thinfer.serve.settings import ServeSettings

__all__ = ["run_workers"]

logger = logging.getLogger("thinfer.serve")

_STEP_S = 0.02
_MOST_DEATHS, _DEATHS_S = 5, 60.0
_GRACE_S = 5.0  # beyond the workers' own time to stop
_OWN = frozenset({"host", "port", "workers", "place"})


def run_workers(
    bundle: Path,
    settings: ServeSettings,
    *,
    clock: Clock,
    sleep: Callable[[float], None],
    announce: Callable[[str, str], None],
) -> None:
    """Serve with several processes until a signal asks to stop.

    Args:
        bundle: that each worker opens.
        settings: of the service; `workers` says how many.
        clock: counts how often workers die.
        sleep: waits between two looks at the workers.
        announce: told version and address once every worker has answered.

    Raises:
        UserError: the address cannot be listened on.
        EngineError: the workers die faster than they can be replaced, or do not start.
    """
    listener = open_listener(settings.host, settings.port)
    url = url_of(listener)  # now: a stop closes the socket, maybe before all are ready
    folder = Path(tempfile.mkdtemp(prefix="thinfer-"))  # for this user alone
    crew = _Crew(bundle, settings, listener=listener, folder=folder)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: crew.stop())
        crew.start()
        is_announced, deaths = False, deque[float]()
        while not crew.is_over():
            if not is_announced and crew.is_ready():
                announce(crew.version(), url)
                is_announced = True
            for index, code in crew.find_dead():
                logger.error("worker %d has ended with %d", index, code)
                deaths.append(clock.monotonic())
                while deaths and deaths[0] < clock.monotonic() - _DEATHS_S:
                    deaths.popleft()
                if not is_announced or len(deaths) > _MOST_DEATHS:
                    what = "the workers of the service do not stay alive"
                    raise EngineError(what, got=f"exit {code}", do="see the log above")
                crew.spawn(index)
            sleep(_STEP_S)
        crew.check()
    finally:
        crew.kill()
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Crew:
    """The worker processes."""

    def __init__(
        self, bundle: Path, settings: ServeSettings, *, listener: socket.socket, folder: Path
    ) -> None:
        self._bundle, self._settings = bundle, settings
        self._listener, self._folder = listener, folder
        self._token = secrets.token_hex(32)
        # Only this process holds the second end: it ends with the process, however that ends.
        self._life, self._hold = os.pipe()
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._is_stopping = False

    def start(self) -> None:
        for index in range(self._settings.workers):
            self.spawn(index)

    def spawn(self, index: int) -> None:
        if self._is_stopping:  # the signal may come between a death and its successor
            return
        place = self._place(index)
        (self._folder / f"{index}.port").unlink(missing_ok=True)
        self._workers[index] = subprocess.Popen(
            [sys.executable, "-m", "thinfer", "serve", str(self._bundle)],
            env={**os.environ, **self._settings.as_environment(without=_OWN), **_tell(place)},
            pass_fds=[self._listener.fileno(), self._life],
            start_new_session=True,  # a Ctrl-C reaches this process alone, which passes it on
        )

    def _place(self, index: int) -> Place:
        return Place(
            folder=self._folder,
            index=index,
            count=self._settings.workers,
            token=self._token,
            socket=self._listener.fileno(),
            life=self._life,
        )

    def is_ready(self) -> bool:
        """Whether every worker has answered its own first inference."""
        return all((self._folder / f"{index}.ready").exists() for index in self._workers)

    def version(self) -> str:
        return (self._folder / "0.ready").read_text()

    def find_dead(self) -> list[tuple[int, int]]:
        """Workers that ended although nobody asked them to, with their exit codes."""
        if self._is_stopping:
            return []
        codes = [(index, worker.poll()) for index, worker in self._workers.items()]
        return [(index, code) for index, code in codes if code is not None]

    def stop(self) -> None:
        """Pass the signal on; the second one ends the workers at once, as it would one process."""
        if not self._is_stopping:
            # Or the kernel would go on taking connections that nobody answers.
            self._listener.close()
            self._place(0).end.touch()
        self._is_stopping = True
        for worker in self._workers.values():
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)

    def is_over(self) -> bool:
        return self._is_stopping and all(
            worker.poll() is not None for worker in self._workers.values()
        )

    def check(self) -> None:
        """Tell a worker that did not stop in order.

        Raises:
            EngineError: one ended with another code than 0.
        """
        bad = {index: w.returncode for index, w in self._workers.items() if w.returncode}
        if bad:
            what = "a worker did not stop in order"
            raise EngineError(what, got=f"exit codes {bad}")

    def kill(self) -> None:
        for worker in self._workers.values():
            if worker.poll() is None:
                worker.kill()
                worker.wait(_GRACE_S)
        os.close(self._life)
        os.close(self._hold)


def _tell(place: Place) -> dict[str, str]:
    return {"THINFER_SERVE_PLACE": place.encode()}
