"""`thinfer serve`: answer over HTTP."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["serve"]


def serve(
    bundle: Annotated[Path, typer.Argument(help="The bundle to serve.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one. [8000]")] = None,
    engine: Annotated[str | None, typer.Option(help="An engine the bundle lists.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one engine call.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes behind one socket; cores are shared out. [1]")
    ] = None,
    engine_workers: Annotated[
        int | None, typer.Option(help="Engine calls side by side, on the same weights. [1]")
    ] = None,
    admin_key_file: Annotated[
        Path | None, typer.Option(help="Opens the admin routes to its key.")
    ] = None,
    serve_key_file: Annotated[
        Path | None, typer.Option(help="Closes the classify routes to all but its key.")
    ] = None,
    max_queue: Annotated[int | None, typer.Option(help="Texts that may wait. [512]")] = None,
    max_batch_tokens: Annotated[
        int | None, typer.Option(help="Tokens of one engine call. [4096]")
    ] = None,
    max_body_bytes: Annotated[
        int | None, typer.Option(help="Longest request body. [8388608]")
    ] = None,
    max_windows: Annotated[int | None, typer.Option(help="Windows of one long text. [64]")] = None,
    model_name: Annotated[
        str | None, typer.Option(help="Name of the model in /v2. [the bundle's folder]")
    ] = None,
    console: Annotated[
        bool | None, typer.Option("--console/--no-console", help="The page at /. [on]")
    ] = None,
) -> None:
    """Serve a bundle over HTTP until SIGTERM.

    Each option can also be set as THINFER_SERVE_<NAME> in the environment; the option wins.
    """
    # Here, so that the other commands do not wait for the web framework.
    from thinfer.classifier import Classifier
    from thinfer.core.clock import SystemClock
    from thinfer.core.cores import usable_cores
    from thinfer.serve.app import create_app
    from thinfer.serve.peers import Peers, Place
    from thinfer.serve.server import run_server
    from thinfer.serve.service import build_service
    from thinfer.serve.settings import load_settings
    from thinfer.serve.spread import Spread
    from thinfer.serve.supervisor import run_workers

    settings = load_settings(
        {
            "host": host,
            "port": port,
            "engine": engine,
            "threads": threads,
            "workers": workers,
            "engine_workers": engine_workers,
            "admin_key_file": admin_key_file,
            "serve_key_file": serve_key_file,
            "max_queue": max_queue,
            "max_batch_tokens": max_batch_tokens,
            "max_body_bytes": max_body_bytes,
            "max_windows": max_windows,
            "model_name": model_name,
            "console": console,
        }
    )
    logging.basicConfig(
        stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", level="WARNING"
    )
    logging.getLogger("thinfer").setLevel("INFO")
    clock = SystemClock()

    def tell(version: str, url: str) -> None:
        print(f"serving {version} on {url}", file=sys.stderr, flush=True)

    if settings.workers > 1 and settings.place is None:
        share = settings.threads or max(1, usable_cores() // settings.workers)
        shared = settings.model_copy(update={"threads": share})
        run_workers(bundle, shared, clock=clock, sleep=time.sleep, announce=tell)
        return
    peers = None if settings.place is None else Peers(Place.decode(settings.place))
    with Classifier.open(bundle, engine=settings.engine, threads=settings.threads) as classifier:
        service = build_service(classifier, settings, clock=clock)
        app = create_app(service, clock=clock)
        if peers is not None:
            app = Spread(app, fleet=service.fleet, metrics=service.metrics, peers=peers)

        def announce(url: str) -> None:
            if peers is None:
                tell(classifier.version, url)
            else:
                peers.announce_ready(classifier.version)

        run_server(app, service, clock=clock, announce=announce, peers=peers)
