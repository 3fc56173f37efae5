"""The control API under `/sim/` and the vLLM-style metrics of each provider."""

from __future__ import annotations

import urllib.parse
from typing import Any, Protocol, TypeVar

import msgspec

from signalbox.simulator import faults, output
from signalbox.simulator.bill import Bill
from signalbox.simulator.connection import Connection, HttpRequest
from signalbox.simulator.faults import FaultBook
from signalbox.simulator.limits import ProviderState
from signalbox.simulator.log import RequestLog
from signalbox.simulator.model import Refusal, encode
from signalbox.simulator.settings import Prices, SimulatorSettings

T = TypeVar("T")
Gauges = dict[tuple[str, str], dict[str, float]]
Answer = tuple[int, str, bytes]
_JSON = "application/json"
_LIMIT_DEFAULT = 1_000


class Controlled(Protocol):
    """What the control API needs of the simulator."""

    settings: SimulatorSettings
    providers: dict[str, ProviderState]
    bill: Bill
    log: RequestLog
    faults: FaultBook
    gauges: Gauges

    @property
    def prices(self) -> dict[str, dict[str, Prices]]: ...

    def reset(self) -> None: ...


class GaugeOrder(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /sim/gauges` pins; null gives a gauge back to what is really in flight."""

    provider: str
    model: str
    running: float | None = None
    waiting: float | None = None
    kv_cache: float | None = None


def answer(sim: Controlled, method: str, path: str, query: str, body: bytes) -> Answer:
    """Raises Refusal for what it does not know."""
    reads = method in ("GET", "HEAD")
    if path in ("/", "/sim/healthz") and reads:
        return _json({"status": "ok", "providers": list(sim.providers), "seed": sim.settings.seed})
    if path == "/sim/log" and reads:
        return _json([entry.public() for entry in _last(sim.log.entries, query)])
    if path == "/sim/bill" and reads:
        return _json(_bill(sim, query))
    if path == "/sim/prices" and reads:
        return _json({"unit": "USD per million tokens", "prices": sim.prices})
    if path == "/sim/reset" and method == "POST":
        sim.reset()
        return _json({"status": "reset"})
    if path == "/sim/gauges" and method == "POST":
        return _json(_pin(sim, body))
    if path == "/sim/faults" or path.startswith("/sim/faults/"):
        return _json(_faults(sim, method, path, body))
    raise Refusal(404, "not_found", f"no {method} {path} here")


def _json(value: object) -> Answer:
    return 200, _JSON, encode(value)


def _last(items: list[T], query: str) -> list[T]:
    asked = urllib.parse.parse_qs(query).get("limit", [str(_LIMIT_DEFAULT)])[0]
    if not asked.isdigit() or len(asked) > 9:
        raise Refusal(400, "invalid_request", "limit must be a whole number")
    return items[-int(asked) :] if int(asked) else []


def _bill(sim: Controlled, query: str) -> dict[str, Any]:
    rows = _last(sim.bill.rows, query) if "limit=" in query else sim.bill.rows
    by_model = [
        {"provider": provider, "model": model, **msgspec.structs.asdict(total)}
        for (provider, model), total in sorted(sim.bill.by_model.items())
    ]
    return {"rows": rows, "total": sim.bill.total, "by_model": by_model}


def _faults(sim: Controlled, method: str, path: str, body: bytes) -> object:
    wanted = path.removeprefix("/sim/faults").strip("/")
    if method == "GET":
        return {"faults": [_public(rule) for rule in sim.faults.rules.values()], "known": faults.catalogue()}
    if method == "DELETE":
        if not wanted:
            sim.faults.clear()
        elif not (wanted.isdigit() and sim.faults.remove(int(wanted))):
            raise Refusal(404, "not_found", f"no fault {wanted!r}")
        return {"status": "deleted"}
    if method == "POST":
        return {"id": sim.faults.add(_decoded(body, faults.Rule))}
    raise Refusal(405, "method_not_allowed", "use GET, POST or DELETE")


def _public(rule: faults.Rule) -> dict[str, Any]:
    doc = msgspec.structs.asdict(rule)
    del doc["first_s"]
    return doc


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Refusal(400, "invalid_request", str(error)) from None


def _pin(sim: Controlled, body: bytes) -> object:
    order = _decoded(body, GaugeOrder)
    state = sim.providers.get(order.provider)
    if state is None or order.model not in state.spec.models:
        raise Refusal(404, "not_found", f"no model {order.model!r} at {order.provider!r}")
    pinned = {
        name: value
        for name, value in (("running", order.running), ("waiting", order.waiting), ("kv_cache", order.kv_cache))
        if value is not None
    }
    sim.gauges[(order.provider, order.model)] = pinned
    return {"pinned": pinned}


def metrics(state: ProviderState, gauges: Gauges) -> str:
    """The three gauges that routers read, by model, from what is really in flight unless pinned."""
    lines: list[str] = []
    for name, help_text, key in (
        ("num_requests_running", "Number of requests in model execution batches.", "running"),
        ("num_requests_waiting", "Number of requests waiting to be processed.", "waiting"),
        ("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", "kv_cache"),
    ):
        lines += [f"# HELP vllm:{name} {help_text}", f"# TYPE vllm:{name} gauge"]
        for model in state.spec.models:
            value = gauges.get((state.name, model), {}).get(key)
            if value is None:
                value = _real(state, model, key)
            lines.append(f'vllm:{name}{{engine="0",model_name="{model}"}} {value}')
    return "\n".join(lines) + "\n"


def _real(state: ProviderState, model: str, key: str) -> float:
    in_flight = state.in_flight[model]
    slots = state.spec.slots or in_flight
    if key == "running":
        return float(min(in_flight, slots))
    if key == "waiting":
        return float(max(0, in_flight - slots))
    room = max(1, state.spec.models[model].context_tokens)
    return min(1.0, state.tokens_in_flight[model] / room)


def send(connection: Connection, request: HttpRequest, status: int, content_type: str, body: bytes) -> None:
    """A complete answer that is part of no exchange."""
    head = output.head(status, content_type, len(body), "req_sim", (), True, request.keep_alive)
    connection.write(head if request.method == "HEAD" else head + body)
    connection.done(request.keep_alive)
