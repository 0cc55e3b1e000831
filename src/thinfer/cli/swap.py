"""`thinfer swap`: change the versions of a running service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from thinfer.cli.output import Output, format_table
from thinfer.errors import UserError

__all__ = ["command"]


def command(
    url: Annotated[str, typer.Argument(help="The service, for example http://127.0.0.1:8000.")],
    bundle: Annotated[
        Path | None, typer.Argument(help="The bundle to switch to; lists the versions when absent.")
    ] = None,
    *,
    admin_key_file: Annotated[Path, typer.Option(help="File of the service's admin key.")],
    only_load: Annotated[
        bool, typer.Option("--only-load", help="Load the bundle, and let the present one answer.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Let the version before the last switch answer.")
    ] = False,
    split: Annotated[
        list[str] | None,
        typer.Option(help="NAME=SHARE, once a version; the shares add up to 1."),
    ] = None,
    shadow: Annotated[
        str | None, typer.Option(help="With --split: a version that sees the traffic only.")
    ] = None,
    unload: Annotated[str | None, typer.Option(help="Drop a version that answers nothing.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that the service has.")] = 300.0,
    output: Output,
) -> None:
    """Switch a running service to another bundle, without losing a request.

    The service loads the bundle beside the present one, verifies every byte, runs its golden set
    and compares its speed. Only then it switches; a bundle that fails changes nothing.

    Raises:
        UserError: more than one change is asked for, or the service refuses it.
    """
    from thinfer.cli.remote import ask_admin
    from thinfer.serve.keys import read_key

    actions = [bundle is not None, rollback, bool(split), unload is not None]
    if sum(actions) > 1:
        what = "only one change at a time"
        raise UserError(what, expected="one of BUNDLE, --rollback, --split, --unload")
    method, path, body = "GET", "/admin/versions", None
    if bundle is not None:
        method, body = "POST", {"bundle": str(bundle.resolve()), "activate": not only_load}
    elif rollback:
        method, path, body = "POST", "/admin/rollback", {}
    elif split:
        method, path = "POST", "/admin/split"
        body = {"versions": dict(_read_share(item) for item in split), "shadow": shadow}
    elif unload is not None:
        method, path = "DELETE", f"/admin/versions/{unload}"
    answer = ask_admin(url, method, path, body, key=read_key(admin_key_file), timeout_s=timeout)
    output.result(answer, lambda: _describe(answer))


def _read_share(item: str) -> tuple[str, float]:
    name, _, share = item.partition("=")
    try:
        return name, float(share)
    except ValueError:
        what = "a share of the split cannot be read"
        raise UserError(what, expected="NAME=SHARE, for example 3f2a…=0.1", got=item) from None


def _describe(answer: Mapping[str, Any]) -> str:
    if "versions" not in answer:
        changed = "" if answer.get("changed", True) else " (it answered before)"
        lines = [f"{answer['version']} answers now{changed}; before: {answer['previous'] or '-'}"]
        lines += [
            f"labels {word}: {', '.join(names)}"
            for word in ("added", "removed")
            if (names := answer.get(f"labels_{word}"))
        ]
        return "\n".join(lines)
    rows = [
        (
            item["name"],
            "shadow" if item["is_shadow"] else f"{item['share']:.1%}",
            item["engine"],
            item["precision"],
            item["bundle"],
        )
        for item in answer["versions"]
    ]
    return format_table(("version", "share", "engine", "precision", "bundle"), rows)
