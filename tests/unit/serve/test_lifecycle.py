"""The lifecycle counts work whatever happens to it, and refuses new work while draining."""

from __future__ import annotations

import asyncio

import pytest

from thinfer.serve.errors import DrainingError
from thinfer.serve.lifecycle import Lifecycle


def test_idle_comes_when_the_last_work_ends_even_by_an_error() -> None:
    async def main() -> None:
        lifecycle = Lifecycle()
        await lifecycle.wait_idle()
        with lifecycle.work():
            with pytest.raises(KeyError), lifecycle.work():
                assert lifecycle.in_flight == 2
                raise KeyError
            waiting = asyncio.create_task(lifecycle.wait_idle())
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        assert lifecycle.in_flight == 0

    asyncio.run(main())


def test_draining_refuses_new_work_and_keeps_the_old() -> None:
    lifecycle = Lifecycle()
    with lifecycle.work():
        lifecycle.start_draining()
        assert lifecycle.is_draining
        with pytest.raises(DrainingError), lifecycle.work():
            pass
        assert lifecycle.in_flight == 1
