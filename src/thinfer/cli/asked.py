"""What `load` and `plan` share: whom they ask what, and the options that say so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thinfer.errors import UserError

__all__ = [
    "Batch",
    "Body",
    "Connections",
    "Data",
    "Header",
    "Model",
    "RouteName",
    "Text",
    "TextColumn",
    "read_question",
]

Data = Annotated[Path | None, typer.Option(help="File of the texts to send, in drawn order.")]
Text = Annotated[list[str] | None, typer.Option(help="A text to send, in place of a file.")]
TextColumn = Annotated[str | None, typer.Option(help="Name of the text column.")]
RouteName = Annotated[
    str, typer.Option(help="check, predict, moderations, oip, or raw: the URL's own path.")
]
Body = Annotated[
    str | None,
    typer.Option(help='Body of raw: JSON with "{text}" or "{texts}" in it, or @FILE.'),
]
Model = Annotated[str | None, typer.Option(help="Name of the model, for oip.")]
Batch = Annotated[int, typer.Option(min=1, help="Texts of one request.")]
Connections = Annotated[int, typer.Option(min=1, help="Connections kept open at most.")]
Header = Annotated[
    list[str] | None,
    typer.Option(help="'NAME: VALUE'; a secret as 'NAME: @FILE' or 'NAME: Bearer @FILE'."),
]


def read_question(
    data: Path | None,
    text: list[str] | None,
    *,
    text_column: str | None,
    route: str,
    body: str | None,
    model: str | None,
    batch: int,
    base: str,
    seed: int,
) -> tuple[str, tuple[bytes, ...]]:
    """Give the path of a route and the bodies to send there.

    Args:
        data: file of the texts.
        text: texts in its place.
        text_column: of the file.
        route: a name of `ROUTES`, or `raw`.
        body: template of `raw`.
        model: name in the path of `oip`.
        batch: texts of one request.
        base: path of the URL.
        seed: draws the order.

    Returns:
        The path, and at least one body.

    Raises:
        UserError: an option is missing, or does not go with another.
    """
    import numpy as np

    from thinfer.bench.questions import ROUTES, draw_texts, make_bodies, read_template
    from thinfer.text.corpus import read_corpus

    if (data is None) == (not text):
        what = "no text to send, or two kinds of them"
        raise UserError(what, expected="either --data FILE or --text TEXT")
    if (route == "raw") != (body is not None):
        what = "--route raw and --body belong together"
        raise UserError(what, got=f"route {route}, {'a' if body else 'no'} body")
    if (route == "oip") != (model is not None):
        what = "--route oip and --model belong together"
        raise UserError(what, got=f"route {route}, {'a' if model else 'no'} model")
    if route != "raw" and route not in ROUTES:
        what = f"there is no route '{route}'"
        raise UserError(what, expected=", ".join((*ROUTES, "raw")))
    found = read_template(_read_body(body or "")) if route == "raw" else ROUTES[route]
    texts = text or []
    if data is not None:
        texts = list(read_corpus(data, text_column=text_column, need_labels=False).texts)
    drawn = draw_texts(texts, rng=np.random.default_rng(seed))
    path = base if route == "raw" else base.rstrip("/") + found.path.format(model=model)
    return path, make_bodies(found, drawn, batch=batch)


def _read_body(body: str) -> str:
    """Give the template, out of its file where it starts with `@`.

    Raises:
        UserError: the file cannot be read.
    """
    if not body.startswith("@"):
        return body
    try:
        return Path(body[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        what = f"the body template '{body[1:]}' cannot be read"
        raise UserError(what, got=type(error).__name__) from error
