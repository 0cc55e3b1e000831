"""The fenced blocks of a Markdown file, and the commands that a console block shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "commands_of", "read_blocks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        language: the word after the fence, perhaps empty.
        code: the lines inside, without the fences.
        line: number of the first line inside, from 1.
    """

    language: str
    code: str
    line: int


def read_blocks(path: Path) -> tuple[Block, ...]:
    """Give the fenced blocks of a file in order."""
    blocks: list[Block] = []
    inside: list[str] | None = None
    language, start = "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.startswith("```"):
            if inside is not None:
                inside.append(line)
        elif inside is None:
            language, inside, start = line[3:].strip(), [], number + 1
        else:
            blocks.append(Block(language=language, code="\n".join(inside), line=start))
            inside = None
    return tuple(blocks)


def commands_of(block: Block) -> tuple[str, ...]:
    """Give the commands of a console block: lines after `$ `, joined over a closing backslash."""
    commands: list[str] = []
    is_open = False
    for line in block.code.splitlines():
        if line.startswith("$ "):
            commands.append(line[2:])
        elif is_open:
            commands[-1] += "\n" + line
        is_open = line.endswith("\\") and bool(commands) and (line.startswith("$ ") or is_open)
    return tuple(commands)
