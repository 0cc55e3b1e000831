"""Docstrings are there, and `Raises:` names every error that the function raises itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.docstrings import (
    find_missing_docstrings,
    find_undocumented_raises,
    read_documented,
)
from tests.support.source import PACKAGE

ERRORS = '''"""Errors."""
class ThinferError(Exception):
    """Root."""
class DataError(ThinferError):
    """Data."""
class UserError(ThinferError):
    """User."""
'''


def test_everything_public_says_what_it_is() -> None:
    assert find_missing_docstrings(PACKAGE) == []


def test_every_error_raised_is_documented() -> None:
    assert find_undocumented_raises(PACKAGE) == []


def write_module(root: Path, text: str) -> Path:
    package = root / "thinfer"
    package.mkdir(exist_ok=True)
    (package / "errors.py").write_text(ERRORS)
    (package / "core.py").write_text(text)
    return package


def test_missing_docstrings_are_found(tmp_path: Path) -> None:
    text = "def f(): ...\nclass A:\n    def g(self): ...\n    def _h(self): ...\ndef _i(): ...\n"
    names = find_missing_docstrings(write_module(tmp_path, text))
    assert names == ["thinfer.core", "thinfer.core.f", "thinfer.core.A", "thinfer.core.A.g"]


@pytest.mark.parametrize(
    "body",
    [
        "raise DataError('x')",
        "raise DataError",
        "raise errors.DataError('x') from None",
        "if x:\n        with y:\n            raise DataError('x')",
        "try:\n        pass\n    except OSError as error:\n        raise DataError('x') from error",
        "raise _refuse(x)",
        "raise self._refuse(x)",
        "raise Odd('x')",
    ],
)
@pytest.mark.parametrize("documented", [False, True])
def test_raises_are_found_and_resolved(tmp_path: Path, body: str, documented: bool) -> None:
    error = "Odd" if "Odd" in body else "DataError"
    section = f"\n\n    Raises:\n        UserError, {error}: when.\n    " if documented else ""
    text = (
        f'"""M."""\ndef f(x):\n    """Do."""\n    {body}\n'.replace('Do."""', f'Do.{section}"""')
        + "def _refuse(x) -> DataError: ...\n"
        + 'class Odd(DataError):\n    """Odd."""\n'
    )
    found = find_undocumented_raises(write_module(tmp_path, text))
    assert found == ([] if documented else [f"thinfer.core.f raises {error}"])


@pytest.mark.parametrize(
    "body", ["raise", "raise ValueError('x')", "def g():\n        raise DataError('x')", "pass"]
)
def test_what_is_not_its_own_is_left_alone(tmp_path: Path, body: str) -> None:
    text = f'"""M."""\ndef f(x):\n    """Do."""\n    {body}\n'
    assert find_undocumented_raises(write_module(tmp_path, text)) == []


def test_a_raises_section_ends_where_its_indent_does() -> None:
    text = (
        "Do.\n\nRaises:\n    UserError: when it is so,\n        OSError: not a class here.\n"
        "    DataError, EngineError: else.\n\nReturns:\n    Nothing: at all."
    )
    assert read_documented(text) == {"UserError", "DataError", "EngineError"}
    assert read_documented("Do.") == set()
