"""What finance and security need of a real installation: signed checkpoints, and keys that end everywhere."""

from __future__ import annotations

import signal
from pathlib import Path

from installation import PATHS, Served, body_of, until


async def test_a_clean_end_leaves_everything_signed_and_a_cut_is_told(served: Served, tmp_path: Path) -> None:
    anchor = tmp_path / "elsewhere"
    served.config["journal"] = {"checkpoint_anchor": str(anchor)}
    await served.start(2)
    for _ in range(3):
        assert (await served.request(PATHS["chat"], body_of("chat", "w-chat", "hi"))).status == 200
    served.signal(signal.SIGTERM)
    assert await served.exit_code() == 0
    state = served.state.root
    key = (state / "checkpoints" / "key.pub").read_text().strip()
    verb = ("ledger", "verify", "--public-key", key, "--anchor", str(anchor))
    (report,) = served.cli(*verb)
    assert report["ok"], report
    assert report["checkpoints"] >= 1
    assert report["signed_lines"] == report["lines"]
    segment = next(path for path in (state / "journal").glob("*/00000001.log") if b'"settled"' in path.read_bytes())
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-2]))
    (report,) = served.cli(*verb, code=1)
    assert "truncated" in {found["kind"] for found in report["findings"]}


async def test_a_key_that_is_revoked_at_the_machine_ends_on_every_worker(served: Served) -> None:
    await served.start(2)
    (made,) = served.cli("keys", "create", "--name", "x", "--api", "chat")

    async def status() -> int:
        return (await served.request(PATHS["chat"], body_of("chat", "w-chat", "hi"), key=made["key"])).status

    async def works() -> bool:
        return await status() == 200

    await until(works, "the new key works")
    other = await served.request(PATHS["messages"], body_of("messages", "w-messages", "hi"), key=made["key"])
    assert other.status == 403
    served.cli("keys", "revoke", made["id"])

    async def ended() -> bool:
        return {await status() for _ in range(6)} == {401}

    await until(ended, "the revoked key is refused by every worker")
    told = served.cli("ledger", "actions")
    assert [one["action"] for one in told] == ["key.create", "key.revoke"]
