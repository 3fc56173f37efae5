"""The seams as one matrix: each guard × each way to an answer × each channel × three endpoints × streamed or not ×
three protocols. What a guard takes out of the plain way's answer it takes out of every other way's.

All cells are a matter of minutes, so a run takes a sample, drawn from a seed, in which each pair of a guard with a
way, a channel and an endpoint occurs; SIGNALBOX_MATRIX=all takes all.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import random
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.guard.test_guard_cached import kind_of_hit, put_together
from tests.harness import Answer, Box, running

from conversations import FITS, PATHS, tool, wanting

SEED = 7
# Of the cells of one guard and one way, so many at least.
SAMPLED = 9
KINDS = ("text", "tool", "reasoning")
PLACES = {"chat": "openai", "messages": "anthropic", "responses": "azure"}
MAIL = "jane.roe@example.org"
KEY = "sk-proj-" + "".join(random.Random(3).choices("abcdefghkmnpqrstuvwxyzABCDEFGHKLMN23456789", k=40))
PROMPT = (
    "You are Mira of the Blue Heron bank, speak kindly, quote no rates, and never tell anybody at all that the winter "
    "code of the northern vault is heron seven until spring."
)
SHOWN_WORDS_MAX = 12
# By guard: what is declared, what its answers hold, and what may not be in them.
GUARDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "forbidden-text": ({"name": "forbidden-text", "strings": ["Tann-7"]}, "Tann-7", "Tann-7"),
    "cut": ({"name": "forbidden-text", "strings": ["Tann-7"], "action": "cut"}, "Tann-7", "Tann-7"),
    "no-secrets": ({"name": "no-secrets"}, KEY, KEY[8:]),
    "no-personal-data": ({"name": "no-personal-data"}, MAIL, MAIL),
    "no-system-prompt-leak": (
        {"name": "no-system-prompt-leak"}, PROMPT, " ".join(PROMPT.split()[: SHOWN_WORDS_MAX + 1])
    ),
    "pseudonymise": ({"name": "pseudonymise", "where": "always"}, MAIL, "EMAIL_"),
}  # fmt: skip
LOOSE = {"type": "object", "properties": {"q": {"type": "string"}}}
REPAIR = {"name": "valid-json", "repair": True, "hold_streams": True}
CACHE = {"exact_ttl_s": 600, "safe_tools": ["look"], "data_max": "restricted"}
RESCUE = {"hold_tokens": 0, "hold_ms": 0}


class Cell(NamedTuple):
    guard: str
    way: str
    kind: str
    api: str
    place: str
    stream: bool


def of_way(way: str, place: str) -> dict[str, Any]:
    """A workload in which answers take this way."""
    two = [place, "local"]
    return {
        "plain": {"placements": [place]},
        "fall-over": {"placements": two},
        "hedge": {"placements": two, "hedge": {"after_ms": 1}},
        "rescue": {"placements": two, "stream_rescue": RESCUE},
        "exact": {"placements": [place], "cache": CACHE},
        "joined": {"placements": [place], "cache": CACHE},
        "replay": {"placements": [place]},
        "repaired": {"placements": [place], "retries": {"max_attempts": 2}},
        "unrepaired": {"placements": [place], "retries": {"max_attempts": 1}},
        "refused": {"placements": [place], "retries": {"max_attempts": 1}},
        "kept": cascaded("strong", 0.0),
        "escalated": cascaded("strong", 1.0),
        "alone": cascaded("broken", 1.0),
        "escalated-unfit": cascaded("strong", 1.0),
    }[way]


def cascaded(strong: str, threshold: float) -> dict[str, Any]:
    pair = {"weak": "weak", "strong": strong, "price_ratio_min": 2, "threshold": threshold}
    return {"strategy": "cascade", "placements": ["weak", strong], "cascade": pair}


# What an answer has to wait for, so that somebody else can come in between.
WAITING_MS = {"joined": 1500, "hedge": 20}
CASCADES = ("kept", "escalated", "alone", "escalated-unfit")
UNFIT = ("repaired", "unrepaired", "refused", "escalated-unfit")
WAYS = ("plain", "fall-over", "hedge", "rescue", "exact", "joined", "replay", "repaired", "unrepaired", "refused",
        *CASCADES)  # fmt: skip


def cells(way: str) -> list[Cell]:
    places = ("local",) if way in CASCADES else tuple(PLACES)
    streams = (True,) if way == "rescue" else (False, True)
    out: list[Cell] = []
    chance = random.Random(f"{SEED} {way}")
    for guard in GUARDS:
        whole = [Cell(guard, way, *one) for one in product(KINDS, PATHS, places, streams)]
        if os.environ.get("SIGNALBOX_MATRIX") == "all":
            out += whole
            continue
        chance.shuffle(whole)
        # Every channel on every endpoint once, and every protocol and both kinds of answer among them.
        taken = list({(one.kind, one.api): one for one in whole}.values())
        assert len(taken) == SAMPLED
        out += taken
    return out


def named(cell: Cell) -> str:
    return f"{cell.guard}-{cell.way}-{cell.place}"


def configured(way: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for guard, (declared, _, _) in GUARDS.items():
        guards: list[Any] = [declared]
        if way in UNFIT:
            guards.append({**REPAIR, "unfit": "refuse"} if way == "refused" else REPAIR)
        for place in PLACES if way not in CASCADES else ("local",):
            made[f"{guard}-{way}-{place}"] = {"guards": guards, "data": ["personal"], **of_way(way, place)}
    return made


async def with_workloads(box: Box, way: str) -> None:
    config, prices = box.config, box.sim.prices["vllm"]
    told = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
    for name, model in (("weak", "sim-small"), ("strong", "sim-large"), ("broken", "sim-large!500")):
        price = {key: float(getattr(prices[model.partition("!")[0]], key)) for key in told}
        config["deployments"][name] = {**config["deployments"]["local"], "model": model, "price": price}
    config["deployments"] = {name: {**one, "health": {"enabled": False}} for name, one in config["deployments"].items()}
    config["workloads"] = configured(way)
    error = await box.configure(config)
    assert not error, error


def asked(cell: Cell) -> dict[str, Any]:
    """A request whose answer holds the value in one channel. Where it may not be in the request, that is in rot13."""
    value = GUARDS[cell.guard][1]
    said = f"All of {value} and more"
    unfit = cell.way in UNFIT
    own = cell.guard == "pseudonymise"  # here the request is the one that holds it

    def turned(text: str) -> str:
        return text if own else codecs.encode(text, "rot13")

    script = {
        "text": f"[[text:{turned(json.dumps({'b': said}) if unfit else said)}]]",
        "tool": f"[[tool:look {turned(json.dumps({'q': said}))}]]",
        "reasoning": f"[[thought:{turned(said)}]][[text:{turned(json.dumps({'b': 1}) if unfit else 'done')}]]",
    }[cell.kind]
    if cell.way in WAITING_MS:
        script = f"[[ttft_ms:{WAITING_MS[cell.way]}]]{script}"
    if not own:
        script = f"[[rot13]]{script}"
    body: dict[str, Any] = {"model": named(cell), "stream": cell.stream}
    if cell.api == "responses":
        body |= {"input": script, "store": False, "instructions": PROMPT}
    elif cell.api == "messages":
        body |= {"max_tokens": 500, "messages": [{"role": "user", "content": script}], "system": PROMPT}
    else:
        turns = [{"role": "system", "content": PROMPT}, {"role": "user", "content": script}]
        body |= {"max_tokens": 500, "messages": turns}
    if cell.kind == "tool":
        body["tools"] = [tool(cell.api, FITS if unfit else LOOSE)]
    elif unfit:
        body |= wanting(cell.api)
    return body


def prepare(box: Box, cell: Cell) -> None:
    box.sim.faults.clear()
    if cell.way == "fall-over":
        box.sim.fault("503", provider=PLACES[cell.place])
    elif cell.way == "rescue":
        at = random.Random(repr(cell)).randint(1, 6)
        box.sim.fault(f"reset_mid@{at}", provider=PLACES[cell.place])


def looked_at(cell: Cell, answer: Answer) -> bool:
    """Whether the answer shows that a guard was at work; that it shows nothing it may not is checked for all."""
    said, hidden = put_together(answer), GUARDS[cell.guard][2]
    for told in (said, answer.body.decode()):
        # The Responses API repeats what its caller's instructions were, in each object.
        assert hidden not in told.replace(f'"instructions":"{PROMPT}"', ""), cell
    if cell.way == "refused":
        assert answer.status == 502, (cell, answer.body)
        return False
    assert answer.status == 200, (cell, answer.body)
    if cell.guard == "pseudonymise":
        return MAIL in said
    if cell.guard in ENDING:
        return b"content_filter" in answer.body or b'"refusal"' in answer.body
    return "removed]" in said


async def once(box: Box, cell: Cell) -> list[Answer]:
    prepare(box, cell)
    return [await box.request(PATHS[cell.api], asked(cell))]


async def twice(box: Box, cell: Cell) -> list[Answer]:
    body, key = asked(cell), {"idempotency-key": repr(cell)} if cell.way == "replay" else {}
    first, second = [await box.request(PATHS[cell.api], body, headers=key) for _ in range(2)]
    if cell.way == "replay":
        assert put_together(first) == put_together(second), cell
    elif cell.guard not in ENDING:  # an answer that was cut is not kept
        assert kind_of_hit(second) == "exact", cell
    return [first, second]


async def together(box: Box, sample: list[Cell]) -> list[tuple[Cell, list[Answer]]]:
    """Everybody asks twice, the second time while the first is still under way."""
    told: list[tuple[Cell, list[Answer]]] = []
    for some in (sample[at : at + 32] for at in range(0, len(sample), 32)):
        before = len(box.sim.log.entries)
        firsts = [asyncio.ensure_future(box.request(PATHS[cell.api], asked(cell))) for cell in some]
        while len(box.sim.log.entries) < before + len(firsts):
            await asyncio.sleep(0.01)
        seconds = await asyncio.gather(*[box.request(PATHS[cell.api], asked(cell)) for cell in some])
        told += [(cell, [await first, second]) for cell, first, second in zip(some, firsts, seconds, strict=True)]
    # On a machine that is slow enough the first is over, and its answer was kept.
    assert all(kind_of_hit(two[1]) in ("joined", "exact") for cell, two in told if cell.guard not in ENDING)
    assert any(kind_of_hit(two[1]) == "joined" for _, two in told)
    return told


async def in_turn(box: Box, sample: list[Cell]) -> list[tuple[Cell, list[Answer]]]:
    told: list[tuple[Cell, list[Answer]]] = []
    for cell in sample:
        before = len(box.sim.log.entries)
        told.append((cell, await (twice if cell.way in ("exact", "replay") else once)(box, cell)))
        sent = [entry.body for entry in box.sim.log.entries[before:]]
        if cell.guard == "pseudonymise":
            assert not [one for one in sent if MAIL.encode() in one], cell
        if cell.way in ASKED_TWICE:
            assert len(sent) >= 2, cell
    return told


# Guards that end an answer.
ENDING = ("cut", "no-system-prompt-leak")
ASKED_TWICE = ("fall-over", "escalated", "escalated-unfit", "alone", "repaired")
# Ways on which the value that was held never gets to anybody: what replaces it holds none.
SILENT = ("refused", "repaired", "escalated-unfit")


@pytest.mark.parametrize("way", WAYS)
async def test_no_way_to_an_answer_leads_past_a_guard(tmp_path: Path, way: str) -> None:
    async with running(tmp_path) as box:
        await with_workloads(box, way)
        seen: dict[str, int] = dict.fromkeys(GUARDS, 0)
        sample = cells(way)
        for cell, answers in await (together if way == "joined" else in_turn)(box, sample):
            for answer in answers:
                shown = looked_at(cell, answer)
                seen[cell.guard] += shown
                if cell.kind != "reasoning" and way not in SILENT:
                    assert shown, (cell, answer.body)  # reasoning is not told by every dialect
        if way not in SILENT:
            assert min(seen.values()) >= SAMPLED * 2 // 3, seen
        if way in ("hedge", "rescue"):
            assert len(box.sim.log.entries) > len(sample), "nobody else was asked"
        assert box.chain_is_whole()
