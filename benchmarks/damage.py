"""Ways to damage a bundle: bits, lengths, names, links, numbers; each harms one file of a copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["list_harms"]

Harm = Callable[[Path, np.random.Generator], None]


def list_harms() -> dict[str, Harm]:
    """Give the harms by name; each changes the bundle in the folder that it is given."""
    return {
        "bit flipped": _flip_bit,
        "cut short": _cut,
        "emptied": lambda place, rng: _write(_any_file(place, rng), b""),
        "grown": lambda place, rng: _write(*_grown(_any_file(place, rng))),
        "file missing": lambda place, rng: _any_file(place, rng).unlink(),
        "file added": lambda place, rng: _write(place / f"more-{rng.integers(1000)}", b"x"),
        "two files exchanged": _exchange,
        "link outside": _link_outside,
        "name climbs out": _climb,
        "absolute name": _absolute,
        "label left out": _drop_label,
        "not a number in the manifest": _spoil_number,
        "manifest is other JSON": lambda place, rng: _write(place / "manifest.json", b"[]"),
        "manifest nested deep": lambda place, rng: _write(place / "manifest.json", b"[" * 100_000),
    }


def _files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file())


def _any_file(place: Path, rng: np.random.Generator) -> Path:
    files = [path for path in _files(place) if path.stat().st_size]
    return files[int(rng.integers(len(files)))]


def _write(path: Path, raw: bytes) -> None:
    """Write a file anew; never through a link to the whole one."""
    path.unlink(missing_ok=True)
    path.write_bytes(raw)


def _grown(path: Path) -> tuple[Path, bytes]:
    return path, path.read_bytes() + b"\0"


def _flip_bit(place: Path, rng: np.random.Generator) -> None:
    path = _any_file(place, rng)
    raw = bytearray(path.read_bytes())
    raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
    _write(path, bytes(raw))


def _cut(place: Path, rng: np.random.Generator) -> None:
    path = _any_file(place, rng)
    raw = path.read_bytes()
    _write(path, raw[: int(rng.integers(len(raw)))])


def _exchange(place: Path, rng: np.random.Generator) -> None:
    files = _files(place)
    one, other = (files[int(index)] for index in rng.choice(len(files), size=2, replace=False))
    raw, more = one.read_bytes(), other.read_bytes()
    _write(one, more)
    _write(other, raw if raw != more else raw + b"\0")


def _link_outside(place: Path, rng: np.random.Generator) -> None:
    path = _any_file(place, rng)
    path.unlink()
    path.symlink_to("/etc/hostname")


def _climb(place: Path, rng: np.random.Generator) -> None:
    _rename_in_manifest(place, rng, lambda name: f"../{place.name}/{name}")


def _absolute(place: Path, rng: np.random.Generator) -> None:
    _rename_in_manifest(place, rng, lambda name: str(place / name))


def _rename_in_manifest(
    place: Path, rng: np.random.Generator, rename: Callable[[str], str]
) -> None:
    path = place / "manifest.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    names = sorted(body["files"])
    name = names[int(rng.integers(len(names)))]
    body["files"][rename(name)] = body["files"].pop(name)
    _write(path, json.dumps(body).encode())


def _drop_label(place: Path, rng: np.random.Generator) -> None:
    del rng
    path = place / "manifest.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    body["labels"] = body["labels"][:-1]
    _write(path, json.dumps(body).encode())


def _spoil_number(place: Path, rng: np.random.Generator) -> None:
    path = place / "manifest.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    body["max_length"] = ["NaN", -1, 1e300, None, True, 10**30][int(rng.integers(6))]
    _write(path, json.dumps(body).encode())
