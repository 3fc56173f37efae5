"""The shipper beside a serving process: it comes back when it is killed, and ends when its parent does."""

import os
import signal

from installation import PATHS, Served, alive, body_of, children, until

CHAT = PATHS["chat"]


async def shipper_of(served: Served, *, other_than: int = 0) -> int:
    found = await until(
        lambda: [pid for pid in children(served.pid, "_ship") if pid != other_than], "a shipper process", 30
    )
    return int(found[0])


async def test_it_comes_back_when_it_is_killed(served: Served) -> None:
    await served.start()
    first = await shipper_of(served)
    await served.request(CHAT, body_of("chat", "w-chat", "before"))
    await until(lambda: len(served.stored()) == 1, "the first record in the store", 30)
    os.kill(first, signal.SIGKILL)
    await served.request(CHAT, body_of("chat", "w-chat", "meanwhile"))
    await shipper_of(served, other_than=first)
    await until(lambda: len(served.stored()) == 2, "the second record in the store", 30)
    assert "shipper process ended" in served.stderr()


async def test_it_ships_once_more_when_its_parent_is_killed(served: Served) -> None:
    await served.start()
    pid = await shipper_of(served)
    await served.request(CHAT, body_of("chat", "w-chat", "last words"))
    os.kill(served.pid, signal.SIGKILL)
    await until(lambda: not alive(pid), "the end of the shipper", 30)
    assert [row["workload"] for row in served.stored()] == ["w-chat"]


async def test_nothing_is_left_behind_at_a_clean_end(served: Served) -> None:
    await served.start()
    await served.request(CHAT, body_of("chat", "w-chat", "at once"))
    served.signal(signal.SIGTERM)
    assert await served.exit_code(60) == 0
    assert len(served.stored()) == 1
