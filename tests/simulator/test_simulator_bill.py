"""The bill is exact: arithmetic, disjoint classes, cut streams, cut whole answers, and refusals that cost nothing."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.simulator import ModelSpec, Prices, ProviderSpec, SimulatorSettings, Spread
from signalbox.simulator.bill import pico_rates
from signalbox.simulator.model import Tokens
from signalbox.simulator.tokens import of_messages, of_text, of_value, pieces, words

CHAT = "/openai/v1/chat/completions"


def ask(text: str, **more) -> dict:
    return {"model": "sim-small", "messages": [{"role": "user", "content": text}]} | more


async def until(what, timeout_s: float = 2.0) -> None:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < timeout_s
        await asyncio.sleep(0.005)


async def test_each_class_has_its_price_and_counts_once(sim, connect):
    raw = await connect(sim.port)
    text = "x" * 400 + "[[cached:40]][[cache_write:20]][[cache_write_1h:10]][[thinking:9]][[tokens:4]]"
    raw.post(CHAT, ask(text), x_client_request_id="a-1")
    await raw.answer()
    row = sim.bill.rows[0]
    total_in = 3 + of_text(text)
    assert (row.client_request_id, row.provider, row.model, row.endpoint) == ("a-1", "openai", "sim-small", "chat")
    assert (row.tokens_in, row.cache_read, row.cache_write, row.cache_write_1h) == (total_in - 70, 40, 20, 10)
    assert (row.tokens_out, row.reasoning, row.end) == (4, 9, "complete")
    usd_mtok = (total_in - 70) * Decimal("0.25") + 40 * Decimal("0.025") + 20 * Decimal("0.3125")
    usd_mtok += 10 * Decimal("0.5") + 13 * Decimal(2)
    assert row.cost_pico == usd_mtok * 1_000_000


@pytest.mark.parametrize("stream", [True, False])
async def test_whole_and_streamed_cost_the_same(sim, connect, stream):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("hello [[thinking:5]]", stream=stream))
    await raw.answer()
    row = sim.bill.rows[0]
    assert (row.tokens_out, row.reasoning, row.end, row.stream) == (16, 5, "complete", stream)


async def test_a_stream_cut_by_the_client_bills_what_was_generated(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("[[tokens:500]][[delay_ms:10]]", stream=True))
    await raw.reader.readuntil(b'"delta":{"content":')
    await asyncio.sleep(0.1)
    assert sim.bill.rows == []
    left_ms = time.time() * 1000
    raw.writer.close()
    await until(lambda: sim.bill.rows)
    row, entry = sim.bill.rows[0], sim.log.entries[0]
    assert row.end == entry.end == "cut"
    assert 5 <= row.tokens_out == entry.tokens_sent <= 40
    assert row.cost_pico == row.tokens_in * 250_000 + row.tokens_out * 2_000_000
    assert 0 <= entry.closed_ms - left_ms < 200


async def test_a_whole_answer_cut_bills_the_pace(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("[[tokens:500]][[delay_ms:10]][[ttft_ms:50]][[thinking:3]]"))
    await asyncio.sleep(0.25)
    raw.writer.close()
    await until(lambda: sim.bill.rows)
    row = sim.bill.rows[0]
    assert (row.end, row.reasoning) == ("cut", 3)
    assert 10 <= row.tokens_out + row.reasoning <= 40
    assert row.tokens_in > 0


async def test_a_client_gone_before_the_first_token_pays_its_input(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("[[ttft_ms:5000]]", stream=True))
    await asyncio.sleep(0.05)
    raw.writer.close()
    await until(lambda: sim.bill.rows)
    row = sim.bill.rows[0]
    assert (row.end, row.tokens_out) == ("cut", 0)
    assert row.cost_pico == row.tokens_in * 250_000 > 0


async def test_refusals_cost_nothing_and_totals_are_sums(sim, connect):
    raw = await connect(sim.port)
    for doc in (ask("x"), ask("x", model="nope"), b"{", ask("x", model="sim-large"), ask("x" * 200_000)):
        raw.post(CHAT, doc)
        await raw.answer()
    rows = sim.bill.rows
    assert [row.end for row in rows] == ["complete", "rejected", "rejected", "complete", "rejected"]
    assert [row.cost_pico for row in rows if row.end == "rejected"] == [0, 0, 0]
    assert sim.bill.total.cost_pico == sum(row.cost_pico for row in rows)
    assert sim.bill.total.requests == 5
    assert sim.bill.by_model[("openai", "sim-large")].requests == 1


async def test_rows_are_bounded_and_totals_are_not(start_simulator, connect):
    sim = await start_simulator(SimulatorSettings(bill_rows=5, log_entries=3, log_bytes=250))
    raw = await connect(sim.port)
    for _ in range(12):
        raw.post(CHAT, ask("hello"))
        await raw.answer()
    assert len(sim.bill.rows) == 5
    assert sim.bill.total.requests == 12
    assert len(sim.log.entries) == 3
    raw.post(CHAT, ask("x" * 300))
    await raw.answer()
    assert sim.log.entries == []


async def test_limits_refuse_with_a_time_to_return(start_simulator, connect):
    model = ModelSpec(Prices(Decimal(1)))
    sim = await start_simulator(
        SimulatorSettings(
            providers={
                "rpm": ProviderSpec({"sim-small": model}, rpm=2),
                "tpm": ProviderSpec({"sim-small": model}, tpm=60),
                "one": ProviderSpec({"sim-small": model}, concurrency=1),
            }
        )
    )
    raw = await connect(sim.port)
    answers = []
    for _ in range(3):
        raw.post("/rpm/v1/chat/completions", ask("x"))
        answers.append(await raw.answer())
    assert [a[0] for a in answers] == [200, 200, 429]
    assert answers[0][1]["x-ratelimit-remaining-requests"] == "1"
    assert 25 <= int(answers[2][1]["retry-after"]) <= 30
    raw.post("/tpm/v1/messages", ask("x" * 160, max_tokens=5))
    first = await raw.answer()
    assert first[1]["anthropic-ratelimit-tokens-remaining"] == "17"
    raw.post("/tpm/v1/messages", ask("x" * 160, max_tokens=5))
    assert (await raw.answer())[0] == 429
    slow = await connect(sim.port)
    slow.post("/one/v1/chat/completions", ask("[[delay_ms:50]]", stream=True))
    await slow.reader.readuntil(b"\r\n\r\n")
    raw.post("/one/v1/chat/completions", ask("x"))
    assert (await raw.answer())[0] == 429
    slow.writer.close()
    await until(lambda: sim.providers["one"].running == 0)
    raw.post("/one/v1/chat/completions", ask("x"))
    assert (await raw.answer())[0] == 200


async def test_latency_follows_the_profile(start_simulator, connect):
    spec = ProviderSpec({"sim-small": ModelSpec(Prices(Decimal(1)))}, ttft_ms=Spread(100.0), tokens_per_s=Spread(100.0))
    sim = await start_simulator(SimulatorSettings(providers={"slow": spec}, latency="on"))
    for stream in (True, False):
        raw = await connect(sim.port)
        began = time.monotonic()
        raw.post("/slow/v1/chat/completions", ask("[[tokens:21]]", stream=stream))
        await raw.answer()
        assert 0.29 <= time.monotonic() - began < 5


def test_answers_depend_on_text_and_seed_only():
    from signalbox.simulator import answers
    from signalbox.simulator.model import Ask

    def said(text: str, seed: int, model: str = "a") -> str:
        plan = answers.plan(Ask("chat", model, 1, text=text), seed, length=16, reasoning=0, output_max=99)
        return plan.choices[0].parts[0].text

    assert said("x", 1) == said("x", 1, "b")
    assert said("x", 1) != said("y", 1)
    assert said("x", 1) != said("x", 2)


def test_a_price_is_never_rounded():
    assert pico_rates(Prices(Decimal("0.000001"))).tokens_in == 1
    for wrong in ("0.0000001", "-1", "NaN", "Infinity"):
        with pytest.raises(ValueError, match="price"):
            pico_rates(Prices(Decimal(wrong)))


@given(st.text(max_size=200))
def test_counting_loses_no_character(text):
    assert "".join(words(text)) == text
    assert "".join(pieces(text)) == text
    assert of_text(text) == len(pieces(text)) == of_value(text)
    assert of_messages([{"role": "user", "content": text}]) == 3 + of_text(text)


@given(*[st.integers(0, 10**6)] * 6)
def test_cost_is_linear_in_each_class(a, b, c, d, e, f):
    rates = pico_rates(Prices(Decimal("0.25"), Decimal(2), Decimal("0.025"), Decimal("0.3125"), Decimal("0.5")))
    used = Tokens(a, b, c, d, e, f)
    assert rates.cost(used) == 250_000 * a + 25_000 * b + 312_500 * c + 500_000 * d + 2_000_000 * (e + f)


async def test_pictures_count_as_a_lump(sim, connect):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    raw = await connect(sim.port)
    raw.post(CHAT, ask([{"type": "text", "text": "look"}, picture]))
    body = json.loads((await raw.answer())[2])
    assert body["usage"]["prompt_tokens"] == 3 + 1 + 85
