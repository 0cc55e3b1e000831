"""A torch engine leaves the process with the threads that it found."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")


def test_threads_are_borrowed_and_given_back() -> None:
    from thinfer.engine.torch_threads import TorchThreads

    before = torch.get_num_threads()
    borrowed = TorchThreads(before + 1)
    borrowed.take()
    borrowed.take()
    assert torch.get_num_threads() == before + 1
    borrowed.give_back()
    assert torch.get_num_threads() == before
    borrowed.give_back()
    assert torch.get_num_threads() == before
