"""`thinfer serve`: answer over HTTP."""

from __future__ import annotations

import logging
import sys
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
    from thinfer.serve.app import create_app
    from thinfer.serve.server import run_server
    from thinfer.serve.service import build_service
    from thinfer.serve.settings import load_settings

    settings = load_settings(
        {
            "host": host,
            "port": port,
            "engine": engine,
            "threads": threads,
            "engine_workers": engine_workers,
            "admin_key_file": admin_key_file,
            "serve_key_file": serve_key_file,
            "max_queue": max_queue,
            "max_batch_tokens": max_batch_tokens,
            "max_body_bytes": max_body_bytes,
            "console": console,
        }
    )
    logging.basicConfig(
        stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", level="WARNING"
    )
    logging.getLogger("thinfer").setLevel("INFO")
    clock = SystemClock()
    with Classifier.open(bundle, engine=settings.engine, threads=settings.threads) as classifier:
        service = build_service(classifier, settings, clock=clock)

        def announce(url: str) -> None:
            print(f"serving {classifier.version} on {url}", file=sys.stderr, flush=True)

        run_server(create_app(service, clock=clock), service, clock=clock, announce=announce)
