"""Start a service in a process of its own, with the same threads, cores and question for all."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.peer_env import PEERS, StartError, call, make_environment
from benchmarks.settings import ROOT, Settings

CORES = sorted(os.sched_getaffinity(0))  # before the load generator moves off some of them
_READY_S = 180.0
_TEXT = "今天天气很好 a quiet day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that has answered its first question."""

    name: str
    port: int
    process: psutil.Process
    cold_start_s: float

    def cpu_seconds(self) -> float:
        """Give the processor time of the process and its children so far."""
        times = [process.cpu_times() for process in self._tree()]
        return float(sum(item.user + item.system for item in times))

    def rss_bytes(self) -> int:
        """Give the resident memory now, children included."""
        return int(sum(process.memory_info().rss for process in self._tree()))

    def peak_rss_bytes(self) -> int | None:
        """Give the highest resident memory of the main process; None where nobody counts it."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.is_file():
            return None
        lines = status.read_text().splitlines()
        found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
        return int(found[0]) * 1024 if found else None

    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def start_thinfer(
    bundle: Path, *, threads: int, name: str = "thinfer", options: tuple[str, ...] = ()
) -> AbstractContextManager[Service]:
    """Serve a bundle with `thinfer serve`."""
    argv = [sys.executable, "-m", "thinfer", "serve", str(bundle), "--threads", str(threads)]
    return _running(name, [*argv, *options], threads=threads)


def start_transformers(teacher: Path, *, threads: int) -> AbstractContextManager[Service]:
    """Serve a checkpoint with FastAPI and eager transformers."""
    app = PEERS / "transformers_service" / "app.py"
    argv = [sys.executable, str(app), str(teacher), "--threads", str(threads)]
    return _running("transformers", argv, threads=threads)


def start_fastapi(
    folder: Path, *, threads: int, is_serial: bool
) -> AbstractContextManager[Service]:
    """Serve an ONNX file with FastAPI; serial: one request at a time has all the threads."""
    app = PEERS / "onnx_service" / "fastapi_app.py"
    argv = [sys.executable, str(app), str(folder), "--threads", str(threads)]
    name = "fastapi, one at a time" if is_serial else "fastapi"
    return _running(name, [*argv, "--one-at-a-time"] if is_serial else argv, threads=threads)


def start_bare(*, threads: int, name: str) -> AbstractContextManager[Service]:
    """Serve one constant answer on uvicorn: what no service on it can spare."""
    app = PEERS / "bare_service" / "app.py"
    return _running(name, [sys.executable, str(app)], threads=threads)


def prepare_litserve(settings: Settings, python: Path | None) -> Path:
    """Make LitServe's environment where it is absent; engine and tokenizer as they are here.

    Raises:
        StartError: an installation fails.
    """
    same = [f"{name}=={version(name)}" for name in ("onnxruntime", "tokenizers", "numpy")]
    place = settings.work / "litserve-venv"
    return python or make_environment(place, "onnx_service", also=same)


def start_litserve(folder: Path, *, python: Path, threads: int) -> AbstractContextManager[Service]:
    """Serve an ONNX file with LitServe's batching."""
    app = PEERS / "onnx_service" / "litserve_app.py"
    argv = [str(python), str(app), str(folder), "--threads", str(threads)]
    return _running("litserve", argv, threads=threads)


def start_paddle(
    folder: Path, *, python: Path, threads: int, home: Path
) -> AbstractContextManager[Service]:
    """Serve converted weights with Paddle Inference."""
    server = PEERS / "paddle_service" / "server.py"
    argv = [str(python), str(server), str(folder), "--threads", str(threads)]
    return _running("paddle", argv, threads=threads, environment={"HOME": str(home)})


def prepare_paddle(settings: Settings, teacher: Path, python: Path | None) -> tuple[Path, Path]:
    """Make Paddle's environment where it is absent, and convert a checkpoint for it.

    Gives the interpreter and the folder to serve.

    Raises:
        StartError: there is no Python 3.11, an installation fails, or the model is no ERNIE.
    """
    folder = settings.work / "paddle" / teacher.name
    module = "benchmarks.peers.paddle_service.convert"
    call([sys.executable, "-m", module, str(teacher), str(folder)])
    interpreter = python or make_environment(
        settings.work / "paddle-venv", "paddle_service", needs=(3, 11)
    )
    server = str(PEERS / "paddle_service" / "server.py")
    home = settings.work / "paddle-home"
    home.mkdir(parents=True, exist_ok=True)
    call([str(interpreter), server, str(folder), "--prepare"], HOME=str(home))
    return interpreter, folder


@contextmanager
def _running(
    name: str, argv: list[str], *, threads: int, environment: Mapping[str, str] | None = None
) -> Iterator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cores = CORES[:threads]
    start = time.perf_counter()
    popen = subprocess.Popen(
        [*argv, "--port", str(port)],
        cwd=ROOT,
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            **(environment or {}),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    log = _Log(popen)
    try:
        _wait_for_answer(name, port, popen, log)
        seconds = time.perf_counter() - start
        process = psutil.Process(popen.pid)
        yield Service(name=name, port=port, process=process, cold_start_s=seconds)
    finally:
        popen.terminate()
        try:
            popen.wait(20)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


class _Log:
    """Reads a service's stderr, so that a full pipe never stops it, and keeps the last lines."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.lines: deque[bytes] = deque(maxlen=20)
        threading.Thread(target=self._read, args=(popen,), daemon=True).start()

    def _read(self, popen: subprocess.Popen[bytes]) -> None:
        for line in popen.stderr or ():
            self.lines.append(line)


def _wait_for_answer(name: str, port: int, popen: subprocess.Popen[bytes], log: _Log) -> None:
    deadline = time.perf_counter() + _READY_S
    body = json.dumps({"content": _TEXT}).encode()
    while time.perf_counter() < deadline and popen.poll() is None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=_READY_S)
        try:
            link.request("POST", "/check", body, {"content-type": "application/json"})
            if link.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            link.close()
        time.sleep(0.02)
    last = b" ".join(log.lines).decode(errors="replace")[-300:]
    what = f"{name} did not answer (exit {popen.poll()}): {last}"
    raise StartError(what)
