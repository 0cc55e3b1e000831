"""`thinfer plan`: cores, money and headroom for a rate, from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinfer.cli.asked import Connections, Data, Header, RouteName, Text, TextColumn, read_question
from thinfer.cli.output import Output, format_table
from thinfer.errors import UserError

if TYPE_CHECKING:
    from thinfer.bench.plan import Measured
    from thinfer.core.progress import Progress

__all__ = ["command"]


def command(
    service: Annotated[
        str | None,
        typer.Argument(help="A bundle, which is served and measured here, or a running service."),
    ] = None,
    *,
    rate: Annotated[float, typer.Option(help="Requests a second to be answered.")],
    p99: Annotated[float, typer.Option(help="Milliseconds that 99 of 100 stay within.")] = 50.0,
    headroom: Annotated[
        float, typer.Option(help="Share of the capacity that stays free, 0 or more, below 1.")
    ] = 0.3,
    core_price: Annotated[
        float | None, typer.Option(help="Of one core for one hour, in any currency.")
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="Result of `thinfer load --saturate --json`, in place of a service."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores of a service that runs already.")
    ] = None,
    threads: Annotated[
        str | None, typer.Option(help="Threads to measure a bundle with, as 1,2. [1, 2, 4 … all]")
    ] = None,
    data: Data = None,
    text: Text = None,
    text_column: TextColumn = None,
    route: RouteName = "check",
    seconds: Annotated[float, typer.Option(help="How long each rate is held.")] = 4.0,
    steps: Annotated[int, typer.Option(min=3, help="Rates that are tried at most.")] = 12,
    connections: Connections = 64,
    header: Header = None,
    seed: Annotated[int, typer.Option(help="Draws order and due times.")] = 0,
    output: Output,
) -> None:
    """Say how many cores answer a rate within a latency, and what they cost a month.

    A service that runs already is loaded up to its limit: name none that others use.

    Raises:
        UserError: both a service and a measurement are given, or neither.
    """
    from thinfer.bench.plan import plan_service, read_measured
    from thinfer.bench.sizing import Demand

    demand = Demand(rate=rate, p99_ms=p99, headroom=headroom, core_price=core_price)
    if (service is None) == (not measured):
        what = "there must be either a service to measure or a measurement"
        raise UserError(what, expected="a bundle, a URL, or --measured FILE")
    if service is None:
        found = [read_measured(path, cores=cores) for path in measured or ()]
    else:
        texts = {"data": data, "text": text, "text_column": text_column, "route": route}
        form = {"seconds": seconds, "steps": steps, "connections": connections, "limit_ms": p99}
        found = _measure(
            service,
            texts=texts,
            form={**form, "seed": seed},
            cores=cores,
            threads=threads,
            header=header or [],
            progress=output.progress,
        )
    result = plan_service(demand, found)
    output.result(result, lambda: _describe(result))


def _measure(
    service: str,
    *,
    texts: dict[str, Any],
    form: dict[str, Any],
    cores: int | None,
    threads: str | None,
    header: list[str],
    progress: Progress,
) -> list[Measured]:
    from thinfer.bench.load_request import LoadRequest
    from thinfer.bench.plan import measure_bundle, measure_service
    from thinfer.bench.target import parse_target, read_header
    from thinfer.core.clock import SystemClock

    is_url = "://" in service
    # A bundle's own address is not known before it is served.
    target = parse_target(service if is_url else "http://127.0.0.1", allow_remote=False)
    path, bodies = read_question(
        **texts, body=None, model=None, batch=1, base=target.path, seed=form["seed"]
    )
    request = LoadRequest(
        target=target.at(path),
        route=texts["route"],
        bodies=bodies,
        warmup=min(1.0, form["seconds"] / 4),
        headers=tuple(read_header(wish) for wish in header),
        **form,
    )
    clock = SystemClock()
    if is_url:
        return [measure_service(request, cores=cores, progress=progress, clock=clock)]
    numbers = _read_threads(threads)
    return measure_bundle(Path(service), request, threads=numbers, progress=progress, clock=clock)


def _read_threads(wish: str | None) -> list[int]:
    """Give the numbers of threads; powers of two up to all cores when there is no wish.

    Raises:
        UserError: the wish is no list of numbers.
    """
    from thinfer.core.cores import usable_cores

    if wish is None:
        most = usable_cores()
        return sorted({*(2**step for step in range(most.bit_length()) if 2**step <= most), most})
    try:
        return [int(part) for part in wish.split(",")]
    except ValueError as error:
        what = "--threads cannot be read"
        raise UserError(what, expected="numbers with commas between", got=wish) from error


def _describe(result: dict[str, Any]) -> str:
    demand, one = result["demand"], result["measured"]
    cores_used = one["cores_used"]
    rows = [
        ("cores", result["cores"]),
        ("processes", f"{result['processes']} with {one['cores']} cores each"),
        ("capacity", f"{result['capacity']:.1f} requests a second"),
        ("headroom", f"{result['headroom']:.0%} of it is free at {demand['rate']:g} a second"),
    ]
    if result["price_a_month"] is not None:
        price = f"{result['price_a_month']:.2f} a month at {demand['core_price']:g} a core-hour"
        rows.append(("price", price))
    seen = (
        f"{one['requests_per_second']:.1f} requests a second within {one['p99_ms']:.1f} ms (p99)"
        + (f", {cores_used:.2f} cores busy" if cores_used is not None else "")
    )
    rows.append(("measured, one process", seen))
    cpus = {item["machine"].get("cpu") for item in result["measurements"]} - {None}
    rows += [("on", ", ".join(sorted(cpus)))] if cpus else []
    table = format_table(("", f"p99 within {demand['p99_ms']:g} ms"), rows)
    return "\n".join([table, "", *(f"- {line}" for line in result["assumptions"])])
