"""The services of `benchmarks.http`: which there are for a model, and how they run together."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from benchmarks.http_models import Forms
from benchmarks.launch import (
    CORES,
    Service,
    prepare_litserve,
    start_fastapi,
    start_litserve,
    start_thinfer,
    start_transformers,
)
from benchmarks.peer_env import StartError
from benchmarks.settings import Settings, say

__all__ = ["BARE", "CHOSEN", "FAKE", "SAME", "Starters", "ask_all", "list_services", "running"]

SAME, CHOSEN, FAKE = "thinfer", "thinfer, chosen engine", "thinfer, fake engine"
BARE = "uvicorn alone"
Starters = dict[str, Callable[[], AbstractContextManager[Service]]]


def list_services(
    settings: Settings, forms: Forms, litserve: Path | None
) -> tuple[Starters, list[dict[str, str]]]:
    """Give what starts each service of a model, and why the others are absent.

    Args:
        settings: threads of each.
        forms: the model.
        litserve: an interpreter that has it; its environment is made when absent.
    """
    threads = settings.threads
    found: Starters = {
        SAME: lambda: start_thinfer(forms.same, threads=threads, name=SAME),
        "fastapi": lambda: start_fastapi(forms.onnx, threads=threads, is_serial=False),
        "fastapi, one at a time": lambda: start_fastapi(
            forms.onnx, threads=threads, is_serial=True
        ),
    }
    absent = []
    try:
        python = prepare_litserve(settings, litserve)
        found["litserve"] = lambda: start_litserve(forms.onnx, python=python, threads=threads)
    except StartError as error:
        say(f"litserve: absent: {error}")
        absent.append({"name": "litserve", "reason": str(error)})
    if forms.teacher is None:
        reason = "transformers holds no model with widths of its own for each layer"
        absent.append({"name": "transformers", "reason": reason})
    else:
        teacher = forms.teacher
        found["transformers"] = lambda: start_transformers(teacher, threads=threads)
    if forms.chosen is not None:
        chosen = forms.chosen
        found[CHOSEN] = lambda: start_thinfer(chosen, threads=threads, name=CHOSEN)
    return found, absent


@contextmanager
def running(settings: Settings, starters: Starters) -> Iterator[dict[str, Service]]:
    """Start them all, and keep the load off their cores where there are others."""
    with ExitStack() as stack:
        services = {name: stack.enter_context(start()) for name, start in starters.items()}
        if len(CORES) > settings.threads:
            os.sched_setaffinity(0, CORES[settings.threads :])
            stack.callback(os.sched_setaffinity, 0, CORES)
        yield services


def ask_all(service: Service, texts: tuple[str, ...]) -> list[str]:
    """Give the label of each text."""
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    found = []
    for text in texts:
        body = json.dumps({"content": text})
        link.request("POST", "/check", body, {"content-type": "application/json"})
        found.append(json.load(link.getresponse())["result"])
    link.close()
    return found
