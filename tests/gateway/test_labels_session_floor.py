"""A session that was used in a workload of a restricted class stays restricted in every other workload."""

from pathlib import Path

from harness import running

RULES = [{"id": "phi-stays", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}, "source": "test"}]
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
SESSION = {"x-signalbox-session": "s-floor-1"}


async def test_a_floor_follows_its_session(tmp_path: Path) -> None:
    workloads = {"clinic": {"data": ["phi"], "placements": ["local"]}}
    async with running(tmp_path / "state", {"rules": RULES, "workloads": workloads}) as box:
        before = await box.request("/v1/chat/completions", {**HELLO, "model": "w-fallback"}, headers=SESSION)
        assert before.headers["x-signalbox-placement"] == "chat@openai-env"
        clinic = await box.request("/v1/chat/completions", {**HELLO, "model": "clinic"}, headers=SESSION)
        assert clinic.headers["x-signalbox-placement"] == "local@vllm-env"
        after = await box.request("/v1/chat/completions", {**HELLO, "model": "w-fallback"}, headers=SESSION)
        assert after.headers["x-signalbox-placement"] == "local@vllm-env"
        other = await box.request("/v1/chat/completions", {**HELLO, "model": "w-fallback"})
        assert other.headers["x-signalbox-placement"] == "chat@openai-env"
