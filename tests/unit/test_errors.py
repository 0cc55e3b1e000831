from __future__ import annotations

import pytest

from thinfer import errors
from thinfer.errors import DataError, OverloadError, ThinferError, UserError, at


def test_a_message_has_four_parts_and_an_address() -> None:
    error = DataError("the file is torn", expected="4 bytes", got="3", do="copy it again")
    error.where.append(("row", "7"))
    assert str(error) == (
        "the file is torn; at row 7; expected 4 bytes; got 3; to mend it: copy it again"
    )
    assert str(UserError("no")) == "no"


def test_addresses_stand_outermost_first() -> None:
    def fail() -> None:
        with at(file="a.csv"), at(row=812, column="text"):
            raise DataError("empty")

    with pytest.raises(DataError, match=r"at file a\.csv, row 812, column text"):
        fail()


def test_foreign_errors_pass_untouched() -> None:
    with pytest.raises(ValueError, match=r"^no$"), at(row=1):
        raise ValueError("no")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("InternalError", 1),
        ("UserError", 2),
        ("DataError", 3),
        ("QualityError", 4),
        ("EngineError", 5),
        ("OverloadError", 5),
    ],
)
def test_the_branch_decides_the_exit_code(name: str, code: int) -> None:
    branch = getattr(errors, name)
    assert issubclass(branch, ThinferError)
    assert branch.exit_code == code


def test_overload_says_when_to_come_back() -> None:
    error = OverloadError("the queue is full", retry_after_s=2.0)
    assert error.retry_after_s == 2.0
    assert "retry after 2 s" in str(error)
