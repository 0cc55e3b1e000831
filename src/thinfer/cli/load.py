"""`thinfer load`: an open-loop load on a service, at a rate or in search of the highest one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from thinfer.cli.asked import (
    Batch,
    Body,
    Connections,
    Data,
    Header,
    Model,
    RouteName,
    Text,
    TextColumn,
)
from thinfer.cli.output import Output, format_table

__all__ = ["command"]


def command(
    url: Annotated[str, typer.Argument(help="The service, for example http://127.0.0.1:8000.")],
    data: Data = None,
    text: Text = None,
    text_column: TextColumn = None,
    route: RouteName = "check",
    body: Body = None,
    model: Model = None,
    batch: Batch = 1,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second; of a search the first rate.")
    ] = None,
    saturate: Annotated[
        bool, typer.Option("--saturate", help="Search the highest rate within --p99.")
    ] = False,
    p99: Annotated[
        float,
        typer.Option(help="Milliseconds that a search allows; goodput counts what is within."),
    ] = 50.0,
    steps: Annotated[int, typer.Option(min=3, help="Rates that a search tries at most.")] = 14,
    pattern: Annotated[
        str, typer.Option(help="When requests are due: steady, poisson or bursts.")
    ] = "poisson",
    burst: Annotated[int, typer.Option(min=1, help="Requests of one burst.")] = 10,
    seconds: Annotated[
        float, typer.Option(help="How long, or how long each rate of a search.")
    ] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds before that, not counted.")] = 1.0,
    connections: Connections = 64,
    header: Header = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Load another machine's service.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Draws order and due times.")] = 0,
    *,
    output: Output,
) -> None:
    """Send requests when they are due, and count latency from that moment.

    Only services of this machine are loaded, unless --allow-remote is given.
    """
    from thinfer.bench.load_request import LoadRequest
    from thinfer.bench.load_run import run_load
    from thinfer.bench.target import parse_target, read_header
    from thinfer.cli.asked import read_question
    from thinfer.core.clock import SystemClock

    target = parse_target(url, allow_remote=allow_remote)
    path, bodies = read_question(
        data, text, text_column=text_column, route=route, body=body, model=model, batch=batch,
        base=target.path, seed=seed,
    )  # fmt: skip
    request = LoadRequest(
        target=target.at(path),
        route=route,
        bodies=bodies,
        batch=batch,
        rate=rate,
        pattern=pattern,
        burst=burst,
        seconds=seconds,
        warmup=warmup,
        connections=connections,
        limit_ms=p99,
        steps=steps,
        seed=seed,
        headers=tuple(read_header(wish) for wish in header or ()),
        allow_remote=allow_remote,
    )
    result = run_load(request, is_search=saturate, progress=output.progress, clock=SystemClock())
    output.result(result, lambda: _describe(result))


def _describe(result: dict[str, Any]) -> str:
    if "saturation" in result:
        return _describe_search(result)
    latency, generator = result["latency_ms"], result["generator"]
    lines = [
        f"{result['asked']} requests due in {result['seconds_asked']:g} s ({result['pattern']}), "
        f"answered with 200: {result['requests_per_second']:.1f} a second, within "
        f"{result['limit_ms']:g} ms: {result['goodput']:.1f} a second",
    ]
    if latency is not None:
        rows = [tuple(f"{value:.2f}" for value in latency.values())]
        lines += ["", format_table(tuple(f"{name} ms" for name in latency), rows), ""]
    counts = {**result["statuses"], **result["errors"], "lost": result["lost"]}
    lines.append(", ".join(f"{name}: {number}" for name, number in counts.items()))
    late = generator["late_ms"]
    if late is not None:
        lines.append(
            f"generator: late by {late['p99']:.2f} ms (p99), {generator['cpu_share']:.0%} of a "
            f"core; {generator['waited_for_a_connection']} requests found every connection busy"
        )
    if generator["fault"]:
        lines.append(f"The generator may be what limits these figures: {generator['fault']}.")
    return "\n".join(lines)


def _describe_search(result: dict[str, Any]) -> str:
    found = result["saturation"]
    header = ("rate", "stage", "p50 ms", "p99 ms", "answered/s", "failed", "")
    rows = [
        (
            f"{step['rate']:.1f}",
            step["stage"],
            step["p50_ms"],
            step["p99_ms"],
            f"{step['requests_per_second']:.1f}",
            step["failed"],
            ("within" if step["passed"] else "too slow")
            + (f"; {step['fault']}" if step["fault"] else ""),
        )
        for step in found["steps"]
    ]
    table = format_table(header, rows)
    if found["rate"] is None:
        return f"{table}\n\nno rate within a p99 of {found['limit_ms']:g} ms: {found['stopped']}"
    texts = f" ({result['batch'] * found['rate']:.1f} texts)" if result["batch"] > 1 else ""
    bound = "at least " if found["is_lower_bound"] else ""
    return (
        f"{table}\n\n{bound}{found['rate']:.1f} requests a second{texts} within a p99 of "
        f"{found['limit_ms']:g} ms: {found['stopped']}"
    )
