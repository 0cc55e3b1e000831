"""The line: classes in order, and within one first come, first served."""

from __future__ import annotations

import asyncio

from thinfer.serve.ticket import Permit, Ticket
from thinfer.serve.waiting import Priority, WaitingLine
from thinfer.text.batch import Batch


def test_classes_go_in_order_and_anyone_may_leave() -> None:
    async def main() -> None:
        def ticket() -> Ticket:
            done = asyncio.get_running_loop().create_future()
            batch = Batch.from_sequences([[1]])
            return Ticket(batch=batch, permit=Permit(places=1), done=done, queued_s=0.0)

        line, tickets = WaitingLine(), [ticket() for _ in range(5)]
        low, first, second, high, probe = tickets
        line.append(low, Priority.LOW)
        line.append(first, Priority.NORMAL)
        line.append(second, Priority.NORMAL)
        line.append(high, Priority.HIGH)
        line.append(probe, Priority.PROBE)
        assert list(line) == [probe, high, first, second, low]
        line.remove(first)
        line.remove(first)
        line.remove(probe)
        assert line.first() is high
        line.clear()
        assert not line

    asyncio.run(main())
