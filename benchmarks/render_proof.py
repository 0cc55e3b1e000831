"""The sections of the page on what verdicts are worth: chances, classes, moderation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.tables import Body, facts, interval, number, percent, table, times

__all__ = ["render_classes", "render_moderation", "render_proof"]


def render_proof(results: Body) -> list[str]:
    """Give the section on chances.

    Args:
        results: part → what `benchmarks.proof` stored.
    """
    sections = {
        "false holds": _false_holds,
        "selection": _selection,
        "selection, shared rows": _shared,
        "coverage": _coverage,
        "power": _power,
    }
    parts = [facts(results)]
    for name, section in sections.items():
        if name in results:
            parts += section(results[name])
    drawn = [body for name, body in results.items() if name.startswith("drawn sets")]
    return parts + (_drawn(drawn) if drawn else [])


def _false_holds(body: Body) -> list[str]:
    rows = body["rows"]
    sizes = list(rows[0]["chance"])
    changed = sorted({row["changed"] for row in rows})
    cells = []
    for share in changed:
        alike = [row for row in rows if row["changed"] == share]
        cells.append(
            (f"{share:.1%}", *(percent(max(x["chance"][size] for x in alike)) for size in sizes))
        )
    worst = max(rows, key=lambda row: row["worst"]["chance"])
    absolute = max(row["chance"] for row in body["absolute"])
    asked = body["same_as_judge"]
    allowed = ", ".join(f"{1 - part:.1%}" for part in sorted({row["allowed"] for row in rows}))
    note = (
        "A candidate that keeps exactly what the floor asks for, and nothing more: how often its "
        "verdict is `holds`. Exact sums over all outcomes, no simulation; the worst of the "
        f"floors {allowed} (those below the discordance, for who loses more has changed more) and "
        "of two numbers of rows that could be gained. Discordance is losses and gains as a share "
        "of T.\n"
    )
    more = (
        f"- worst of many sizes from 100 to 10,000: {percent(worst['worst']['chance'])}, at "
        f"T = {worst['worst']['trials']:,}, floor {1 - worst['allowed']:.1%}, discordance "
        f"{worst['changed']:.1%}\n"
        f"- absolute floors of 0.9, 0.99 and 0.995 on a rate, the same sizes: at most "
        f"{percent(absolute)}\n"
        f"- `judge` said what the sums say of {asked['alike']} of {asked['asked']} outcomes\n"
    )
    head = ("discordance", *(f"T = {int(size):,}" for size in sizes))
    return ["### False `holds` exactly at the floor\n", note, table(head, cells), more]


def _selection(body: Body) -> list[str]:
    rows = body["rows"]
    groups = dict.fromkeys((row["losses"], row["candidates"]) for row in rows)
    cells = []
    for losses, count in sorted(groups):
        alike = [row for row in rows if (row["losses"], row["candidates"]) == (losses, count)]
        worst = [max(row[side] for row in alike) for side in ("on_dev", "on_test")]
        cells.append((losses, str(count), *map(percent, worst)))
    note = (
        "The fastest candidate that clears the floor on `dev` by one standard error is judged on "
        "`test`, as `compress` does. Beside it the habit of taking the fastest that holds on "
        "`test`. False `holds`: the verdict `holds` on a candidate truly at or below the floor. "
        "Exact sums, candidates that change rows independently of each other; the worst of all "
        "sizes above, floors 99.9 % and 99.5 %, and discordances.\n"
    )
    head = ("true losses", "candidates", "false `holds`, `dev` chooses", "`test` chooses")
    return ["### Chosen among many\n", note, table(head, cells)]


def _shared(body: Body) -> list[str]:
    cells = [
        (
            row["losses"],
            str(row["candidates"]),
            _share(row["false_holds"]),
            _share(row["holds"]),
            _share(row["false_holds_on_test"]),
        )
        for row in body["rows"]
    ]
    note = (
        f"The same on drawn rows that all candidates share, with `margin_cleared`, the original's "
        f"calibrated probabilities and `judge`: {body['rows'][0]['rows']:,} rows in `dev` and in "
        f"`test`, floor 99.5 %, {body['draws']} pairs of sets. In brackets the 95 % interval of "
        "the simulation.\n"
    )
    head = (
        "true losses", "candidates", "false `holds`, `dev` chooses", "any `holds`",
        "false `holds`, `test` chooses",
    )  # fmt: skip
    return [note, table(head, cells)]


def _drawn(bodies: Sequence[Body]) -> list[str]:
    cells = [
        (
            f"{row['metric']}, {'relative' if row['relative'] else 'absolute'}",
            f"{row['lost']:.0%} / {row['gained']:.0%}",
            f"{row['rows']:,}",
            number(row["trials"]),
            _share(row["held"]),
            _share(row["low_covers"]),
            _share(row["high_covers"]),
        )
        for body in bodies
        for row in body["rows"]
    ]
    note = (
        "`judge` itself on drawn sets of three classes (90, 8 and 2 % of the rows; the last is "
        "`rare`), floor exactly at the true value: how often it says `holds`, and how often each "
        "one-sided 95 % bound of the interval covers the truth. "
        f"{bodies[0]['draws']} sets a case; in brackets the 95 % interval of the simulation.\n"
    )
    head = (
        "floor", "lost / gained", "rows", "mean T", "false `holds`", "lower bound covers",
        "upper bound covers",
    )  # fmt: skip
    return ["### Every kind of floor, drawn\n", note, table(head, cells)]


def _coverage(body: Body) -> list[str]:
    paired, rates = body["paired"], body["rates"]
    cells = []
    for place, trials in enumerate(body["trials"]):
        fixed = [row for row in rates if row["rows"] == trials]
        least = [min(row[side][place] for row in paired) for side in ("low", "high")]
        least += [min(row[side] for row in fixed) for side in ("low", "high", "wilson")]
        cells.append((f"{trials:,}", *map(percent, least)))
    nets = ", ".join(f"{net:.2%}" for net in sorted({row["net"] for row in paired}))
    note = (
        f"The least coverage, by exact sums. Retention: true net losses of {nets} with every "
        "discordance above that allows them. Rates: 0.5 to 0.999 of so many rows. Every bound is "
        "one-sided at 95 %, but Wilson's interval is two-sided at 95 %. Wilson's is known to "
        "cover less where a rate is near 0 or 1; no verdict and no report uses it.\n"
    )
    head = (
        "T, or rows", "retention, lower", "retention, upper", "Clopper–Pearson, lower",
        "upper", "Wilson, both",
    )  # fmt: skip
    return ["### Coverage of intervals\n", note, table(head, cells)]


def _power(body: Body) -> list[str]:
    cells = [
        (
            f"{row['net']:.2%}",
            f"{row['changed']:.1%}",
            f"{row['rows']:,}",
            f"{row['nam']:,}",
            f"{row['liu']:,}",
            times(row["ratio"]),
            percent(row["power_at_nam"]),
            f"{row['as_expected']:,}",
            percent(row["power_as_expected"]),
        )
        for row in body["rows"]
    ]
    note = (
        f"Rows that prove a floor of {1 - body['allowed']:.1%} with a chance of "
        f"{body['power']:.0%}, where the original has {body['share']:.0%} of them; net loss and "
        "discordance as shares of T. Ours: the exact chance of the verdict. Beside it the sizes "
        "of Nam (1997, Biometrics 53; the score test, also Tango's of 1998) and of Liu et al. "
        "(2002, Statistics in Medicine 21; Wald's test), which rest on the normal approximation: "
        "it is far off where few rows change, and there ours pays for being exact. Last, the rows "
        "at which counts just as expected prove the floor, which is what `rows_needed` says of "
        "seen counts, and the chance that so many rows really do.\n"
    )
    head = (
        "net loss", "discordance", "rows, ours", "Nam", "Liu", "ours / Nam", "our power at Nam's",
        "as expected", "power there",
    )  # fmt: skip
    return ["### Rows that a proof needs\n", note, table(head, cells)]


def render_classes(results: Body) -> list[str]:
    """Give the section on classes.

    Args:
        results: set → what `benchmarks.classes` stored.
    """
    note = (
        "Each teacher in FP32 and its compressed bundle on every row of the test file. T: rows of "
        "the class that the teacher has right; kept: the bundle's share of them, gains counted, "
        "with its two one-sided 95 % bounds.\n"
    )
    head = (
        "set", "bundle", "floor", "T", "lost", "gained", "kept", "interval", "verdict",
        "rows needed",
    )  # fmt: skip
    rows = [
        (key, f"{body['engine']} {body['precision']}", *_floor_cells(floor))
        for key, body in results.items()
        for floor in body["floors"]
    ]
    return [facts(results), note, table(head, rows)]


def render_moderation(results: Body) -> list[str]:
    """Give the section on moderation.

    Args:
        results: candidate → what `benchmarks.moderation` stored.
    """
    first = next(iter(results.values()))
    note = (
        f"Test rows thinned to 3 % findings: {first['rows']:,} rows, {first['positives']} of them "
        "findings. Candidates are the teacher, pruned without retraining on unlabelled text of the "
        "same 3 %, to a share of the encoder's arithmetic, in FP32; and the linear model that "
        "`compress` fits beside a result, on labelled text of 3 %. The first draw, and below it "
        "all rows of the test set with all their findings, which show what is truly kept.\n"
    )
    head = (
        "candidate", "rows", "floor", "T", "lost", "gained", "kept", "interval", "verdict",
        "rows needed",
    )  # fmt: skip
    rows = [
        (key, name, *_floor_cells(floor))
        for key, body in results.items()
        for name, part in (("3 % findings", "first_draw"), ("all rows", "whole"))
        for floor in body[part]
    ]
    counted = ("candidate", "accuracy", "recall of findings", "draws")
    many = [
        (key, item["accuracy"], item["recall"], f"{item['draws']} of {body['draws']}")
        for key, body in results.items()
        for item in body["verdicts"]
    ]
    more = "Verdicts of all draws of 3 % findings:\n"
    return [facts(results), note, table(head, rows), more, table(counted, many)]


def _floor_cells(floor: Body) -> Iterable[str]:
    needed = floor["rows_needed"]
    return (
        floor["expr"],
        f"{floor['trials']:,}",
        str(floor["losses"]),
        str(floor["gains"]),
        percent(floor["kept"]),
        interval(floor["kept_interval"], digits=4),
        floor["verdict"],
        "" if needed is None else f"{needed:,}",
    )


def _share(body: Body) -> str:
    return f"{percent(body['share'])} ({100 * body['low']:.1f} … {100 * body['high']:.1f})"
