"""Consoles in every condition, for a browser to look at: nothing yet, a busy fortnight, names of ten thousand
characters, and a store that is gone. Run by the interpreter that has Signalbox.

Prints one line of JSON, scene -> {url, pages}; sign-in is with SECRET. It ends when its input does, and takes lines:
`cut` and `mend` make the store of the scene `down` go and come back.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import uvicorn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from console_desk import Desk  # noqa: E402
from signalbox.bootstrap.console import ReadersConfigurations  # noqa: E402
from signalbox.control.alerts import Alert  # noqa: E402
from signalbox.control.breakers import Change  # noqa: E402
from signalbox.control.drill_watch import Sight  # noqa: E402
from signalbox.control.drills import Drill  # noqa: E402
from signalbox.core.attempts import AttemptFilter  # noqa: E402
from signalbox.core.records import Action, Opened, Record, Refused, Settled  # noqa: E402
from signalbox.core.usage import Rates, Usage  # noqa: E402
from signalbox.telemetry.metrics import Metrics  # noqa: E402

HOUR_MS = 3_600_000
BUSY = """
packs: [gdpr, hipaa]
environments:
  openai-us: {kind: cloud, region: us, operator: OpenAI, attests: [dpa, soc2, no-training]}
  azure-fra: {kind: private-cloud, region: eu/de, operator: Microsoft, jurisdiction: us, attests: [dpa, scc, {name: baa, until: SOON}, zero-retention]}
  dc-fra: {kind: on-prem, region: eu/de}
  branch-hh: {kind: edge, region: eu/de}
vendors:
  OpenAI: {attests: [{name: soc2, until: LATER, evidence: reports/openai-soc2.pdf}], subprocessors: [Microsoft Azure, Cloudflare]}
  Microsoft: {attests: [{name: dpa, evidence: contracts/azure-dpa.pdf}]}
deployments:
  mini: {environment: openai-us, protocol: openai, base_url: "https://api.openai.com/v1", model: gpt-5-mini, api_key: not-a-key, price: {input_mtok: 0.25, output_mtok: 2}}
  frontier: {environment: azure-fra, protocol: openai, base_url: "https://example.com/openai/v1", model: gpt-5, api_key: not-a-key, price: {input_mtok: 1.25, output_mtok: 10}}
  llama-70b: {environment: dc-fra, protocol: openai, base_url: "http://10.0.0.1:8000/v1", model: meta-llama/Llama-3.3-70B-Instruct, price: {input_mtok: 0.15, output_mtok: 0.6}}
  claims-ft: {environment: dc-fra, protocol: openai, base_url: "http://10.0.0.3:8000/v1", model: claims-lora-7, price: {input_mtok: 0.1, output_mtok: 0.3}}
  till: {environment: branch-hh, protocol: openai, base_url: "http://10.1.0.1:8000/v1", model: phi-4-mini, price: free}
workloads:
  support-chat: {data: [personal], regulations: [gdpr], quality_min: 0.8, ttft_p95_ms: 800, placements: [llama-70b, mini, frontier], budget: {usd_per_month: 2000}}
  claims-triage: {data: [phi], placements: [claims-ft, frontier], budget: {usd_per_month: 40, hard: true}}
  code-review: {data: [source-code], placements: [frontier, llama-70b]}
  till-helper: {placements: [till, llama-70b]}
  search-summaries: {placements: [mini, llama-70b], budget: {usd_per_month: 600}}
teams:
  support: {workloads: [support-chat, search-summaries], budget: {usd_per_month: 5000}}
  claims: {workloads: [claims-triage]}
rules:
  - {id: phi-needs-baa, when: {data: [phi]}, allow: {any: [{attests: [baa]}, {kind: [on-prem, edge]}]}, source: 45 CFR 164.504(e)}
  - {id: code-stays, when: {data: [source-code]}, allow: {not: {kind: [cloud]}}, source: Policy 12}
"""  # noqa: E501
# workload: (team, deployment: share), environment of a deployment, prices in pico-dollars a token, pace in ms.
ROUTES: dict[str, tuple[str, dict[str, float]]] = {
    "support-chat": ("support", {"llama-70b": 0.7, "mini": 0.2, "frontier": 0.1}),
    "claims-triage": ("claims", {"claims-ft": 0.95, "frontier": 0.05}),
    "code-review": ("", {"frontier": 0.8, "llama-70b": 0.2}),
    "till-helper": ("", {"till": 1.0}),
    "search-summaries": ("support", {"mini": 0.85, "llama-70b": 0.15}),
}
PLACES: dict[str, tuple[str, str, int, int, int]] = {
    "mini": ("openai-us", "gpt-5-mini", 250_000, 2_000_000, 420),
    "frontier": ("azure-fra", "gpt-5", 1_250_000, 10_000_000, 760),
    "llama-70b": ("dc-fra", "meta-llama/Llama-3.3-70B-Instruct", 150_000, 600_000, 180),
    "claims-ft": ("dc-fra", "claims-lora-7", 100_000, 300_000, 90),
    "till": ("branch-hh", "phi-4-mini", 0, 0, 60),
}
LABELS = {"support-chat": ("confidential", "personal"), "claims-triage": ("restricted", "phi"),
          "code-review": ("confidential", "source-code"), "till-helper": ("public",),
          "search-summaries": ("internal",)}  # fmt: skip
CANARIES = (
    "<script>window.canary=1</script>",
    "\"><img src=x onerror='window.canary=1'>",
    "<svg onload=window.canary=1>",
    "javascript:window.canary=1",
    "' autofocus onfocus='window.canary=1",
    "</textarea></title></style><script>window.canary=1</script>",
    "{{ 7*7 }}{% raw %}",
    "\u202e\u200bdesrever",
)
LONG = 10_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def fortnight(rng: Random, number: int) -> list[Record]:
    """What a busy installation has on record: by day and night, some failed, some refused."""
    made: list[Record] = []
    end_ms = now_ms()
    for at in range(number):
        back = rng.random() ** 1.6 * 14 * 24 * HOUR_MS
        time_ms = int(end_ms - 3000 - back)
        hour = time_ms // HOUR_MS % 24
        if not 6 <= hour <= 19 and rng.random() < 0.65:
            continue
        workload = rng.choices(list(ROUTES), (50, 12, 9, 14, 30))[0]
        call = f"req_{rng.getrandbits(96):024x}"
        if rng.random() < 0.03:
            made.append(
                Refused(call, time_ms, "default", ROUTES[workload][0], "k7f3a9", workload, ("restricted", "phi"),
                        "no_permitted_placement", "v-busy", {"phi": 2})
            )  # fmt: skip
            continue
        made += attempts(rng, call, time_ms, workload, at)
    return made


def attempts(rng: Random, call: str, time_ms: int, workload: str, at: int) -> list[Record]:
    team, shares = ROUTES[workload]
    first = rng.choices(list(shares), list(shares.values()))[0]
    fails = rng.random() < (0.09 if first == "frontier" else 0.012)
    tried = [first, *(other for other in shares if other != first)][: 2 if fails else 1]
    made: list[Record] = []
    for number, name in enumerate(tried, 1):
        environment, model, price_in, price_out, pace = PLACES[name]
        tokens_in, tokens_out = int(rng.lognormvariate(6.5, 0.9)), int(rng.lognormvariate(5, 0.8))
        failed = fails and number == 1
        ttft = int(pace * rng.lognormvariate(0, 0.35))
        took = ttft + tokens_out * 9
        opened = Opened(
            f"{call}-{number}", call, time_ms, "default", team, f"k{at % 7}", workload, name, environment, model,
            "chat", LABELS[workload], "fixed:" + workload if number == 1 else "next:503", "v-busy", number,
            stream=rng.random() < 0.7, rates=Rates(price_in, price_out), found={"email": 2} if at % 3 == 0 else {},
            user=f"user-{at % 40}", session=f"s-{at % 90}",
        )  # fmt: skip
        cost = 0 if failed else tokens_in * price_in + tokens_out * price_out
        usage = Usage() if failed else Usage(tokens_in=tokens_in, tokens_out=tokens_out)
        state = "failed" if failed else rng.choices(("settled", "cancelled", "unknown"), (97, 2, 1))[0]
        made.append(opened)
        if at or number < len(tried):
            made.append(
                Settled(opened.attempt_id, time_ms + took, state, usage, "none" if failed else "provider", cost,
                        503 if failed else 200, "server_error" if failed else "", 0 if failed else ttft, took)
            )  # fmt: skip
        time_ms += took
    return made


async def busy(root: Path) -> Desk:
    rng = Random(9)
    soon, later = (time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * 86_400)) for days in (18, 200))
    desk = await Desk(root, BUSY.replace("SOON", soon).replace("LATER", later), workers=0, now_ms=now_ms).loaded()
    desk.ship(*sorted(fortnight(rng, 1500), key=lambda record: getattr(record, "time_ms", 0)))
    for name, wanted in (
        ("support-app", {"team": "support", "workloads": ("support-chat",)}),
        ("claims-batch", {"team": "claims", "workloads": ("claims-triage",), "budget_usd": Decimal(25)}),
        ("till-hamburg-04", {}),
        ("alice", {"role": "auditor"}),
    ):
        desk.key(name=name, **wanted)
    desk.supervisor.firing = [
        (Alert("attestation-expiring", "azure-fra", f"baa of azure-fra ends on {soon}"), time.time() - 4000),
        (Alert("breaker-open", "frontier", "1 of 1 replicas get no calls"), time.time() - 95),
    ]
    for out in (1, 0, 1):
        seen = Metrics()
        seen.set(("signalbox_replicas_out_of_use", "frontier"), out)
        desk.supervisor.breakers.see(seen)
    keep_drills(root)
    make_plan(root)
    return desk


def keep_drills(root: Path) -> None:
    folder = root / "drills"
    folder.mkdir(parents=True, exist_ok=True)
    environments = {name: {"attempts": 400 - at * 70, "answered": 320 - at * 60, "restricted": at * 31}
                    for at, name in enumerate(("openai-us", "azure-fra", "dc-fra", "branch-hh"))}  # fmt: skip
    result = {
        "seed": 7, "calls": 500, "attempts": 1180, "answered": 301, "refused": 88, "incapable": 21, "unanswered": 90,
        "escapes": 0, "refused_but_permitted": 0, "unlabelled": 0, "unrecorded": 0, "defects": 0,
        "environments": environments,
        "rules": {"phi-needs-baa": {"applied": 210, "forbade": 420}, "code-stays": {"applied": 95, "forbade": 95}},
        "findings": [],
    }  # fmt: skip
    for at, (state, why) in enumerate((("good", ""), ("findings", ""), ("failed", "it was interrupted"))):
        began = now_ms() - (at + 1) * 26 * HOUR_MS
        found = {**result, "escapes": 1, "findings": ["escape: chat of workload claims-triage with phi reached mini"]}
        drill = Drill(f"{began:015d}-00000{at}", began, began + 41_000, "escapes", 500, 7, "admin", state, why,
                      {} if why else found if state == "findings" else result)  # fmt: skip
        (folder / f"{drill.id}.json").write_bytes(msgspec.json.encode(drill))
    began = now_ms() - HOUR_MS
    outages = {"mini": {"opened_ms": 143, "back_ms": 2350, "here": 8, "elsewhere": 88, "failed": 0},
               "till": {"opened_ms": 140, "back_ms": None, "here": 0, "elsewhere": 80, "failed": 16}}  # fmt: skip
    changes = {"mini": [Change(237, 1), Change(4900, 0)], "till": [Change(5200, 1), Change(7300, 0), Change(7500, 1)],
               "llama-70b": list[Change]()}  # fmt: skip
    result = {"calls": 201, "unopened": 0, "lost": 1, "outages": outages, "skipped": ["llama-70b"],
              "findings": ["lost: till was not used again within 30 s of coming back"]}  # fmt: skip
    drill = Drill(f"{began:015d}-00000a", began, began + 14_000, "outages", 500, 7, "admin", "findings", "", result,
                  Sight(12_800, 201, 1, changes))  # fmt: skip
    (folder / f"{drill.id}.json").write_bytes(msgspec.json.encode(drill))


def make_plan(root: Path) -> None:
    folder = root / "plans"
    folder.mkdir(parents=True, exist_ok=True)
    plan = ROOT / "examples/plan/support-chatbot.yaml"
    arguments = [sys.executable, "-m", "signalbox", "plan", str(plan), "--out", str(folder / "support.json")]
    subprocess.run(arguments, capture_output=True, cwd=folder, check=False, timeout=120)


async def hostile(root: Path) -> Desk:
    """Everything that callers, models and operators name is a canary, or as long as it may be, or longer."""
    long_names = [f"{letter}{'x' * 126}9" for letter in "abc"]
    text = json.dumps(
        {
            "environments": {long_names[0]: {"kind": "cloud", "region": "us", "operator": CANARIES[0]}},
            "vendors": {CANARIES[1]: {"subprocessors": [CANARIES[0], "W" * 1024]}},
            "deployments": {
                long_names[1]: {
                    "environment": long_names[0], "protocol": "openai", "base_url": "http://127.0.0.1:9/v1",
                    "model": "M" * 256, "price": "free",
                },
                "canary": {
                    "environment": long_names[0], "protocol": "openai", "base_url": "http://127.0.0.1:9/v1",
                    "model": CANARIES[0], "price": {"input_mtok": 1, "output_mtok": 999_999},
                },
            },
            "workloads": {long_names[2]: {"data": ["phi"], "placements": [long_names[1]],
                                          "budget": {"usd_per_month": 9_000_000}},
                          "open": {}},
            "teams": {long_names[0]: {"workloads": [long_names[2]]}},
            "rules": [{"id": "r" * 64, "when": {"data": ["phi"]}, "allow": {"kind": ["edge"]}, "source": "S" * 1024},
                      {"id": "inert", "when": {"data": ["phi"]}, "allow": {"kind": ["edge"]}, "source": CANARIES[0]}],
        }
    )  # fmt: skip
    desk = await Desk(root, text, workers=0, now_ms=now_ms).loaded()
    for number, said in enumerate((*CANARIES, "W" * LONG, "word " * (LONG // 5), "\u0301" * LONG, "\u4e2d" * LONG)):
        desk.ship(*free_text(number, said))
    for number, said in enumerate((*CANARIES, "W" * 128)):
        name = "".join(letter for letter in said if letter.isprintable())[:128]
        desk.key(name=name, team=name, tenant=name if number % 2 else "default")
    desk.supervisor.firing = [(Alert("breaker-open", "W" * 300, CANARIES[0] + "W" * 280), time.time())]
    desk.supervisor.last_error = CANARIES[0] + "\n" + "W" * LONG
    seen = Metrics()
    seen.set(("signalbox_replicas_out_of_use", long_names[1]), 1)
    desk.supervisor.breakers.see(seen)
    folder = root / "drills"
    folder.mkdir(parents=True, exist_ok=True)
    for at, (state, result) in enumerate((("failed", {}), ("findings", {
        "escapes": 10**15, "environments": {"W" * 128: {"attempts": 10**15}, CANARIES[0]: {"attempts": 1}},
        "findings": [CANARIES[0], "W" * LONG],
    }))):  # fmt: skip
        drill = Drill(f"{now_ms() - at:015d}-00000{at}", now_ms(), now_ms(), "escapes", 500, 7, "W" * 256, state,
                      CANARIES[0] + "W" * 500, result,
                      Sight(1, 1, 1, {"W" * 128: [Change(0, 1)], CANARIES[0]: []}))  # fmt: skip
        (folder / f"{drill.id}.json").write_bytes(msgspec.json.encode(drill))
    return desk


def free_text(number: int, said: str) -> list[Record]:
    """A row with the text in every column of words that the ledger has, and a refused call and an action with it."""
    time_ms, call = now_ms() - number * 1000, f"row_{number:04d}"
    ids = {"attempt_id": f"{call}-1", "call_id": call}
    opened = Opened(**{**_worded(Opened, said), **ids, "time_ms": time_ms, "labels": ("public", said)})
    usage = Usage(10**15, tokens_out=10**12, unknown=(said,), tier=said)
    settled = Settled(
        **{**_worded(Settled, said), "attempt_id": opened.attempt_id, "time_ms": time_ms + 400, "state": "settled"},
        usage=usage, cost_pico=10**22, status=200, ttft_ms=10**9, duration_ms=10**9,
    )  # fmt: skip
    refused = Refused(
        **{**_worded(Refused, said), "call_id": f"no_{number}", "time_ms": time_ms, "labels": ("public", said)}
    )
    action = Action(**{**_worded(Action, said), "time_ms": time_ms})
    return [opened, settled, refused, action]


def _worded(kind: type[msgspec.Struct], said: str) -> dict[str, Any]:
    """Every field of the record that holds words, as msgspec knows them: a new one is a new canary."""
    words: dict[Any, Any] = {
        str: said,
        tuple[str, ...]: (said, said),
        dict[str, int]: {said: 3},
        dict[str, str]: {said: said},
    }
    return {field.name: words[field.type] for field in msgspec.structs.fields(kind) if field.type in words}


async def empty(root: Path) -> Desk:
    return await Desk(root, workers=0, now_ms=now_ms).loaded()


async def down(root: Path) -> Desk:
    return await Desk(root, BUSY.replace("SOON", "2030-01-01").replace("LATER", "2030-01-01"), now_ms=now_ms).loaded()


def calls_of(desk: Desk) -> list[str]:
    """Some calls of each kind that the ledger has: tried twice, failed, still open, and one that was refused."""
    rows = desk.store.run_now(lambda store: list(store.attempts(AttemptFilter(include_open=True))))
    kinds: dict[tuple[str, bool], str] = {(row.state, row.attempt > 1): row.call_id for row in rows}
    odd = [row.call_id for row in rows if row.call_id.startswith("row_")]
    refused = desk.store.run_now(lambda store: list(store.refused(AttemptFilter())))
    return [*(odd[:6] or dict.fromkeys(kinds.values())), *(f"{one.call_id}?at={one.time_ms}" for one in refused[-1:])]


def pages_of(desk: Desk) -> list[str]:
    """Every address of a page that the router has, with what its parameters can be here, and views of them."""
    workloads = list(ReadersConfigurations(desk.supervisor).now().snapshot.workloads)
    shown: list[str] = []
    for method, path in desk.routes():
        if method != "GET" or path.startswith(("/api/", "/static/", "/sign-in/")) or path in FILES:
            continue
        if "{" not in path:
            shown.append(path)
        elif path.startswith("/workloads/"):
            shown += [f"/workloads/{name}" for name in workloads[:1]]
        elif path.startswith("/drills/"):
            folder = desk.state.root / "drills"
            shown += [f"/drills/{one.stem}" for one in sorted(folder.glob("*.json"))] if folder.is_dir() else []
        elif path.startswith("/requests/"):
            shown += [f"/requests/{call}" for call in calls_of(desk)]
        else:
            raise AssertionError(f"nobody says what to look at for {path}")
    return [*shown, *VIEWS]


FILES = ("/healthz", "/metrics", "/sign-in", "/spend.csv", "/spend.parquet", "/compliance/evidence.zip")
VIEWS = ("/requests?refused=1", "/requests?team=nobody-has-this-name", "/spend?by=deployment", "/spend?by=team",
         "/no/such/page", "/requests/no-such-call")  # fmt: skip
SCENES: dict[str, Any] = {"empty": empty, "busy": busy, "hostile": hostile, "down": down}


async def serve() -> None:
    told: dict[str, Any] = {}
    with TemporaryDirectory(prefix="signalbox-scenes-") as folder:
        desks: dict[str, Desk] = {}
        serving: list[asyncio.Task[None]] = []
        for name, make in SCENES.items():
            desks[name] = desk = await make(Path(folder) / name)
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            config = uvicorn.Config(desk.app, log_config=None, access_log=False, lifespan="off")
            server = uvicorn.Server(config)
            told[name] = {"url": f"http://127.0.0.1:{listener.getsockname()[1]}", "pages": pages_of(desk)}
            serving.append(asyncio.create_task(server.serve(sockets=[listener])))
        print(json.dumps(told), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            desks["down"].cut = line.strip() == "cut"
            print("done", flush=True)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        for desk in desks.values():
            desk.close()


if __name__ == "__main__":
    asyncio.run(serve())
