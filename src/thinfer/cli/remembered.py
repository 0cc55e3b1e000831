"""Where judgements are remembered between runs, unless the user names a place."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["LOG_HELP", "find_judgement_log"]

LOG_HELP = "Log of judgements; /dev/null for none. Default: judgements.jsonl in the user's state."


def find_judgement_log(given: Path | None) -> Path | None:
    """Give the log's place: what was asked for, else the user's state folder.

    Args:
        given: `--judgement-log`.

    Returns:
        The place by the XDG base directory rules (`$XDG_STATE_HOME`, else `~/.local/state`); None
        where the user has no home.
    """
    if given is not None:
        return given
    state = os.environ.get("XDG_STATE_HOME", "")
    if Path(state).is_absolute():  # the rules: a relative one is to be ignored
        return Path(state) / "thinfer" / "judgements.jsonl"
    try:
        return Path.home() / ".local" / "state" / "thinfer" / "judgements.jsonl"
    except RuntimeError:
        return None
