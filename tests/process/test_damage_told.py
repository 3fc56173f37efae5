"""A journal that was tampered with is told in the log while the gateway runs, not only when somebody verifies."""

import asyncio
import json
import signal

from installation import Served


async def test_a_forged_line_is_in_the_log(served: Served) -> None:
    await served.start()
    served.signal(signal.SIGTERM)
    assert await served.exit_code() == 0
    (segment,) = served.state.journal.glob("*/*.log")
    with segment.open("ab") as file:
        file.write(b'{"k":"seal","time_ms":1,"by":"forger"}\t' + b"0" * 64 + b"\n")
    await served.start()
    async with asyncio.timeout(10):
        while not (told := [line for line in served.stderr().splitlines() if "the journal is damaged" in line]):
            await asyncio.sleep(0.1)
    line = json.loads(told[0])
    assert (line["level"], line["chain"]) == ("error", segment.parent.name)
