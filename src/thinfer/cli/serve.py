"""`thinfer serve`: answer over HTTP."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from thinfer.serve.settings import ServeSettings

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
    cache_texts: Annotated[
        int | None, typer.Option(help="Answers kept for texts that come again; 0 for none. [0]")
    ] = None,
    access_log: Annotated[
        bool | None, typer.Option(help="One log line a request, without its text. [off]")
    ] = None,
    otel: Annotated[
        bool | None, typer.Option(help="One OpenTelemetry span a request. [off]")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="json or text. [json]")] = None,
    max_body_bytes: Annotated[
        int | None, typer.Option(help="Longest request body. [8388608]")
    ] = None,
    max_windows: Annotated[int | None, typer.Option(help="Windows of one long text. [64]")] = None,
    model_name: Annotated[
        str | None, typer.Option(help="Name of the model in /v2. [the bundle's folder]")
    ] = None,
    gate: Annotated[
        Path | None, typer.Option(help="A file of `thinfer fit-gate`; answers what it knows.")
    ] = None,
    gate_policy: Annotated[
        Path | None, typer.Option(help="A policy of `thinfer calibrate-cascade GATE`.")
    ] = None,
    cascade: Annotated[
        Path | None, typer.Option(help="A policy of `thinfer calibrate-cascade`.")
    ] = None,
    cascade_to: Annotated[
        str | None, typer.Option(help="Where unsure texts go on: a bundle, or http(s)://…")
    ] = None,
    cascade_key_file: Annotated[
        Path | None, typer.Option(help="Its first line is sent there as a Bearer token.")
    ] = None,
    cascade_budget: Annotated[
        float | None, typer.Option(help="Share of the texts that may go on. [1]")
    ] = None,
    cascade_timeout_s: Annotated[
        float | None, typer.Option(help="Seconds for the bigger model's answer. [1]")
    ] = None,
    console: Annotated[
        bool | None, typer.Option("--console/--no-console", help="The page at /. [on]")
    ] = None,
) -> None:
    """Serve a bundle over HTTP until SIGTERM.

    Each option can also be set as THINFER_SERVE_<NAME> in the environment; the option wins.
    """
    # Here, so that the other commands do not wait for the web framework.
    from thinfer.serve.settings import load_settings

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
            "cache_texts": cache_texts,
            "access_log": access_log,
            "log_format": log_format,
            "otel": otel,
            "gate": gate,
            "gate_policy": gate_policy,
            "cascade": cascade,
            "cascade_to": cascade_to,
            "cascade_key_file": cascade_key_file,
            "cascade_budget": cascade_budget,
            "cascade_timeout_s": cascade_timeout_s,
            "console": console,
        }
    )
    _run(bundle, settings)


def _run(bundle: Path, settings: ServeSettings) -> None:
    from thinfer.classifier import Classifier
    from thinfer.core.clock import SystemClock
    from thinfer.core.cores import usable_cores
    from thinfer.serve.access import configure_logging
    from thinfer.serve.app import create_app
    from thinfer.serve.peers import Peers, Place
    from thinfer.serve.server import run_server
    from thinfer.serve.spans import open_spans
    from thinfer.serve.spread import Spread
    from thinfer.serve.supervisor import run_workers
    from thinfer.serve.wiring import build_service

    configure_logging(settings.log_format)
    clock = SystemClock()

    def tell(version: str, url: str) -> None:
        print(f"serving {version} on {url}", file=sys.stderr, flush=True)

    if settings.workers > 1 and settings.place is None:
        share = settings.threads or max(1, usable_cores() // settings.workers)
        shared = settings.model_copy(update={"threads": share})
        run_workers(bundle, shared, clock=clock, sleep=time.sleep, announce=tell)
        return
    peers = None if settings.place is None else Peers(Place.decode(settings.place))
    with ExitStack() as stack:
        spans = stack.enter_context(closing(open_spans())) if settings.otel else None
        classifier = stack.enter_context(
            Classifier.open(bundle, engine=settings.engine, threads=settings.threads)
        )
        service = build_service(classifier, settings, clock=clock)
        app = create_app(service, clock=clock, spans=spans)
        if peers is not None:
            app = Spread(app, fleet=service.fleet, metrics=service.metrics, peers=peers)

        def announce(url: str) -> None:
            if peers is None:
                tell(classifier.version, url)
            else:
                peers.announce_ready(classifier.version)

        run_server(app, service, clock=clock, announce=announce, peers=peers)
