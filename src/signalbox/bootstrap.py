"""The composition: the only file that names concrete classes and puts them together."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import uvicorn
import uvloop

from signalbox import store as stores
from signalbox.config import schema
from signalbox.config.declared import Declared
from signalbox.config.discover import SimulatedModel, discover, simulated
from signalbox.config.load import load_text, read_bytes, store_of
from signalbox.console.app import Console, is_loopback
from signalbox.control.drill import Plan, Progress, Result, drill
from signalbox.control.drill_faults import FaultResult, drill_faults
from signalbox.control.explain import Explainer
from signalbox.control.keys import NewKey, create
from signalbox.control.lender import RemoteLender
from signalbox.control.links import LendTo, Link, LinkLost, LocalLink, ProcessLink, framed, read_message, send_message
from signalbox.control.office import KeyOffice
from signalbox.control.shipping import ShipOrder, ShipperProcess
from signalbox.control.source import ConfigSource, FileSource, FixedSource, Text
from signalbox.control.state import StateDir, admin_secret
from signalbox.control.storage import StoreThread
from signalbox.control.supervisor import Checked, Supervisor
from signalbox.control.treasury import Treasury, end_dead_leases
from signalbox.core.errors import ConfigError, StoreError
from signalbox.core.link import Drain, Lend, Order, Recall, Report
from signalbox.core.ports import Store
from signalbox.core.records import ConfigLoaded
from signalbox.core.secret import Secret
from signalbox.core.snapshot import Snapshot
from signalbox.gateway.app import Gateway
from signalbox.gateway.auth import Keyring
from signalbox.gateway.http import Connection, HttpLimits
from signalbox.gateway.idempotency import Answers
from signalbox.gateway.overload import Bounds
from signalbox.gateway.worker import Worker
from signalbox.ledger.chain import chain_names
from signalbox.ledger.checkpoint import CheckpointLog
from signalbox.ledger.estimate import Metering
from signalbox.ledger.journal import Journal, new_chain
from signalbox.ledger.open import OpenAttempts
from signalbox.ledger.recover import recover
from signalbox.ledger.ship import Shipper, Shipping
from signalbox.ledger.walk import Finding
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.waking import Wakes
from signalbox.pipeline.watch import Watch
from signalbox.policy.access import EVERY
from signalbox.policy.budgets import Budgets
from signalbox.policy.check import counts, due
from signalbox.policy.classify import Classifier
from signalbox.policy.interlock import Interlock
from signalbox.policy.limits import CRITICALITIES, Limits
from signalbox.policy.purse import Purse
from signalbox.policy.rules import compile_snapshot
from signalbox.policy.sticky import Conversations, key_from
from signalbox.pricing.catalogue import changes_after, rates
from signalbox.pricing.tariff import published
from signalbox.routing.health import Fleets
from signalbox.routing.router import Router
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import SimulatorSettings
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Metrics
from signalbox.upstream.transport import Transport

SHIP_S = 1.0
# Requests go first where the shipper shares their core.
SHIP_NICE = 10
BACKLOG = 2048
# The collector walks everything alive; what lives as long as the process is frozen, and the rest is walked rarely.
GC_THRESHOLDS = (20_000, 20, 50)
# How long a thread that syncs or asks the store may hold the interpreter while a request waits; 5 ms would be usual.
SWITCH_S = 0.0005


class Compiled(msgspec.Struct, frozen=True):
    """A configuration ready to be put in force."""

    snapshot: Snapshot
    server: schema.Server
    journal: schema.Journal
    files: tuple[str, ...]


class ServeOptions(msgspec.Struct, frozen=True):
    """What `signalbox serve` was asked for. config: a file, or None to discover. greet: told once it serves."""

    config: Path | None
    state_dir: Path
    host: str
    port: int
    admin_host: str
    admin_port: int
    workers: int
    environ: Mapping[str, str]
    greet: Callable[[Started], None]


class Started(msgspec.Struct, frozen=True):
    """What a start has to tell: addresses, and the secrets that are shown once."""

    url: str
    admin_url: str
    workers: int
    version: str
    admin_secret: Secret | None
    first_key: Secret | None
    seconds: float
    found: tuple[str, ...] = ()


JUST_S = 5.0
_just_compiled: list[tuple[tuple[bytes, str, int], float, Compiled]] = []


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def today() -> str:
    """The UTC date, ISO."""
    return datetime.now(UTC).date().isoformat()


def compile_text(content: bytes, name: str, generation: int) -> Compiled:
    """Text to snapshot, in every process the same way. Raises ConfigError with all findings.

    Supervisor and worker of a single process compile one text right after each other: the second time is free. The
    secrets that it names may change between generations, so what was compiled is not kept for longer than that."""
    key = (content, name, generation)
    if _just_compiled:
        last_key, at_s, compiled = _just_compiled[0]
        if last_key == key and time.monotonic() - at_s < JUST_S:
            return compiled
    compiled = compile_declared(load_text(content, name), generation)
    _just_compiled[:] = [(key, time.monotonic(), compiled)]
    return compiled


def compile_declared(declared: Declared, generation: int) -> Compiled:
    snapshot = compile_snapshot(declared, generation, today(), rates, published, changes_after)
    return Compiled(snapshot, declared.config.server, declared.config.journal, declared.files)


def explainer_for(declared: Declared, generation: int = 1) -> Explainer:
    """Raises ConfigError with all findings."""
    return Explainer(declared, compile_declared(declared, generation).snapshot)


def open_store(state: StateDir, url: Secret | None = None) -> Store:
    """The database of an installation: the one that its configuration names, or a file in its state directory."""
    return stores.open_store(url.reveal() if url is not None else f"sqlite:{state.database}")


def stated_store(config: Path | None) -> Secret | None:
    """The database that a configuration file names. Raises ConfigError."""
    return store_of(read_bytes(config), str(config)) if config is not None else None


# --- the data plane's process ---


class DataPlane:
    """What lives as long as one data-plane process, and the worker over it."""

    def __init__(self, state: StateDir, chain: str, log: Log, lend: LendTo | None = None) -> None:
        """lend: from whom to have leases on budgets; without it this process lends to itself."""
        self._state = state
        self._chain = chain
        self._log = log
        self._treasury: Treasury | None = None
        if lend is None:
            self._treasury = Treasury(lambda: open_store(state), lambda: 1, self.recall)
            lend = self._treasury.lend
        self.purse = Purse(partial(lend, chain), time.monotonic)
        self._server = schema.Server()
        self._journal: Journal | None = None
        self._open: OpenAttempts | None = None
        self._durable = False
        self._conversations: Conversations | None = None
        self._classifier: Classifier | None = None
        self._transport = Transport()
        self._limits = Limits()
        self._metering = Metering()
        self._metrics = Metrics()
        self._fleets = Fleets(random.random)
        self._watch = Watch(self._transport)
        self._wakes = Wakes(self._transport)

    def worker(self, listener: socket.socket) -> Worker:
        return Worker(
            self._compile, self._stages, self._http_limits, self._gateway, self._gauges, listener, self._chain
        )

    @property
    def grace_s(self) -> float:
        """Time for open calls to end when stopping."""
        return self._server.shutdown_grace_s

    def recall(self, accounts: list[str]) -> None:
        """What this process does not use of these budgets goes back."""
        self.purse.recall(accounts)

    async def close(self) -> None:
        await self._watch.stop()
        await self._wakes.stop()
        await self._transport.close()
        await self.purse.close()
        if self._treasury is not None:
            self._treasury.close()
        if self._open is not None:
            self._open.stop()
        if self._journal is not None:
            await self._journal.close()
        if self._conversations is not None:
            self._conversations.close()

    def _compile(self, content: bytes, name: str, generation: int) -> Snapshot:
        compiled = compile_text(content, name, generation)
        self._server = compiled.server
        if self._journal is None:
            settings = compiled.journal
            self._durable = settings.fsync == "always"
            self._journal = Journal(
                self._state.journal,
                self._chain,
                fsync=settings.fsync,
                fsync_interval_ms=settings.fsync_interval_ms,
                segment_bytes_max=settings.segment_bytes_max,
            )
            self._open = OpenAttempts(self._journal, now_ms)
            self._open.start()
        return compiled.snapshot

    def _stages(self, snapshot: Snapshot) -> Stages:
        assert self._journal is not None
        assert self._open is not None
        classifier = self._classifier_for(snapshot)
        fleet = self._fleets.adopt(snapshot)
        self._watch.adopt(snapshot, fleet)
        self._limits.resize(self._server.calls_max)
        self._journal.append_soon(ConfigLoaded(time_ms=now_ms(), version=snapshot.version))
        return Stages(
            snapshot=snapshot,
            router=Router(snapshot),
            fleet=fleet,
            wakes=self._wakes,
            interlock=Interlock(snapshot, classifier),
            classifier=classifier,
            limits=self._limits,
            budgets=Budgets(snapshot, self.purse, now_ms),
            journal=self._journal,
            open=self._open,
            transport=self._transport,
            metering=self._metering,
            metrics=self._metrics,
            durable=self._durable,
            now_ns=time.perf_counter_ns,
            time_ms=now_ms,
        )

    def _classifier_for(self, snapshot: Snapshot) -> Classifier:
        """The process's one classifier, ready for a snapshot."""
        if self._classifier is None or self._conversations is None:
            key = key_from(self._state.pepper())
            self._conversations = Conversations(self._state.conversations, key, durable=self._durable)
            self._classifier = Classifier(self._conversations, key, now_ms)
        self._conversations.lifetime_s = snapshot.conversation_lifetime_s
        self._classifier.adopt(snapshot)
        return self._classifier

    def _http_limits(self) -> HttpLimits:
        server = self._server
        return HttpLimits(
            header_bytes_max=server.header_bytes_max,
            headers_max=server.headers_max,
            body_bytes_max=server.body_bytes_max,
            head_s=server.header_timeout_s,
            body_idle_s=server.body_timeout_s,
            keep_alive_s=server.keepalive_s,
            write_s=server.write_timeout_s,
            overload=Bounds(server.loop_lag_ms / 1000, server.memory_bytes_max),
        )

    def _gateway(self, stages: Stages, keyring: Keyring, limits: HttpLimits) -> Gateway:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        sys.setswitchinterval(SWITCH_S)
        return Gateway(stages, keyring, limits, self._log, Answers(self._state.idempotency, time.time))

    def _gauges(self, gateway: Gateway) -> None:
        metrics = self._metrics
        metrics.set(("signalbox_in_flight",), self._limits.in_flight)
        metrics.set(("signalbox_client_connections",), len(gateway.connections))
        metrics.set(("signalbox_loop_lag_seconds",), gateway.watch.lag_s)
        for name, shed in zip(CRITICALITIES, self._limits.shed, strict=True):
            if shed:
                metrics.set(("signalbox_shed_total", name), shed)
        now_ns = time.perf_counter_ns()
        for name, group in self._fleets.groups():
            out = sum(not replica.usable(now_ns, resting=True) for replica in group.replicas)
            metrics.set(("signalbox_replicas_out_of_use", name), len(group.replicas) if group.cold(now_ns) else out)
        pools = self._transport.stats()
        for state in ("idle", "in_flight"):
            metrics.set(("signalbox_upstream_connections", state), sum(getattr(pool, state) for pool in pools))
        if self._journal is not None:
            stats = self._journal.stats()
            metrics.set(("signalbox_journal_bytes_total",), stats.bytes_written)
            metrics.set(("signalbox_journal_errors_total",), stats.refused)


def run_worker(listen_fd: int, link_fd: int, state_dir: Path) -> int:
    """A worker process: serve until the supervisor says drain, or is gone."""
    return uvloop.run(_worker(listen_fd, link_fd, state_dir))


async def _worker(listen_fd: int, link_fd: int, state_dir: Path) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)  # the supervisor answers these for everybody
    lender = RemoteLender()
    plane = DataPlane(StateDir(state_dir), new_chain("worker"), Log("worker"), lender.lend)
    listener = socket.socket(fileno=listen_fd)
    listener.setblocking(False)
    worker = plane.worker(listener)
    link = socket.socket(fileno=link_fd)
    link.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=link, limit=1 << 20)
    lender.send = lambda asked: writer.write(framed(asked))
    with contextlib.suppress(LinkLost, OSError):
        await _obey_all(reader, writer, worker, plane, lender)
    lender.lost()
    # Without a supervisor nobody ships, recovers or reloads: let what runs end, then go.
    await worker.drain(plane.grace_s)
    await plane.close()
    return 0


async def _obey_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, worker: Worker, plane: DataPlane, lender: RemoteLender
) -> None:
    """Carries out orders one after another, and hears of leases meanwhile: even while it drains, streams go on."""
    orders: asyncio.Queue[Order] = asyncio.Queue()

    async def obey() -> None:
        while True:
            order = await orders.get()
            report = await worker.obey(order)
            if isinstance(order, Drain):
                await plane.purse.close()
            await send_message(writer, report)

    obeying = asyncio.get_running_loop().create_task(obey())
    try:
        while not obeying.done():
            order = msgspec.msgpack.decode(await read_message(reader), type=Order)
            if isinstance(order, Lend):
                lender.answered(order)
            elif isinstance(order, Recall):
                plane.recall(order.accounts)
            else:
                orders.put_nowait(order)
        obeying.result()
    finally:
        obeying.cancel()


# --- the whole installation ---


def run_serve(options: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean drain. Raises ConfigError when it cannot start."""
    return uvloop.run(_serve(options))


async def _serve(options: ServeOptions) -> int:
    began = time.perf_counter()
    stopping = _stopping()
    log = Log("supervisor")
    state = StateDir(options.state_dir)
    source, found, simulator = await _source(options)
    text = source.read()
    _check(text, 1)
    url = store_of(text.content, text.name)
    store = StoreThread(lambda: open_store(state, url))
    pepper = state.pepper()
    admin = store.run_now(lambda opened: admin_secret(opened, dict(options.environ)))
    first_key = store.run_now(lambda opened: _first_key(opened, pepper))
    listener = _bind(options.host, options.port)
    treasury = Treasury(
        lambda: open_store(state, url), lambda: options.workers, lambda accounts: supervisor.recall(accounts)
    )
    supervisor = Supervisor(
        source=source,
        store=store,
        pepper=pepper,
        workers=options.workers,
        spawn=_spawner(options, state, listener, log, treasury.lend),
        recover=lambda: _recover(state, log, url),
        check=_check,
        shipping=_shipping(_ship_order(state, text, url), log),
        stop_listening=listener.close,
        today=today,
        stopping=stopping,
        log=log,
    )
    _obey_hangup(supervisor)
    office = KeyOffice(store, admin, pepper, state.journal, now_ms)
    console = await _start_console(options, supervisor, office)
    await supervisor.start()
    options.greet(
        Started(
            url=_url(options.host, listener.getsockname()[1]),
            admin_url=_url(options.admin_host, console.port),
            workers=options.workers,
            version=supervisor.checked.version,
            admin_secret=admin.made,
            first_key=first_key,
            seconds=time.perf_counter() - began,
            found=found,
        )
    )
    await supervisor.run()
    await console.stop()
    if simulator is not None:
        await simulator.stop()
    treasury.close()
    store.close()
    return 0


def _recover(state: StateDir, log: Log, url: Secret | None) -> int:
    """Settles what dead processes left open, books what they had paid from their leases, tells what is damaged, and
    returns how many attempts were settled."""
    recovery = recover(state.journal, now_ms())
    if recovery.findings:
        _alarm(log)(recovery.findings)
    try:
        with contextlib.closing(open_store(state, url)) as store:
            end_dead_leases(store, state.journal)
    except StoreError as error:
        log.error("leases of dead processes stay as they are until the next start", reason=str(error))
    return recovery.attempts


def _ship_order(state: StateDir, text: Text, url: Secret | None) -> ShipOrder:
    settings = load_text(text.content, text.name).config.journal
    return ShipOrder(
        state_dir=str(state.root),
        store=url.reveal() if url is not None else "",
        checkpoint_anchor=settings.checkpoint_anchor or "",
        checkpoint_every_s=settings.checkpoint_every_s,
    )


def _shipping(order: ShipOrder, log: Log) -> ShipperProcess:
    def ship_here() -> None:
        try:
            with contextlib.closing(_store_of(order)) as store:
                state = StateDir(Path(order.state_dir))
                found = Shipping(store, state.journal).ship_once().findings
                if found:
                    _alarm(log)(found)
                _checkpoints(state, order, log)(store, True)
        except StoreError as error:
            log.warning("the last records are shipped at the next start", reason=str(error))

    return ShipperProcess((sys.executable, "-m", "signalbox", "_ship"), order, ship_here, log)


def _store_of(order: ShipOrder) -> Store:
    return open_store(StateDir(Path(order.state_dir)), Secret(order.store) if order.store else None)


def run_shipper() -> int:
    """The process beside the one that serves: ships until its standard input ends, and once more then."""
    # A terminal's Ctrl-C and a service manager's SIGTERM reach everybody; this one ends last, when its parent has.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(SHIP_NICE)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ShipOrder)
    asyncio.run(_ship(order))
    return 0


async def _ship(order: ShipOrder) -> None:
    state, log = StateDir(Path(order.state_dir)), Log("shipper")
    shipper = Shipper(lambda: _store_of(order), state.journal, SHIP_S, _alarm(log), _checkpoints(state, order, log))
    await shipper.start()
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.buffer.read))
    while not ended.done():
        _tell(shipper)
        await asyncio.wait((ended,), timeout=SHIP_S)
    await shipper.stop()
    _tell(shipper)


def _tell(shipper: Shipper) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it who wanted to know
        sys.stdout.buffer.write(msgspec.json.encode(shipper.stats()) + b"\n")
        sys.stdout.buffer.flush()


def _checkpoints(state: StateDir, order: ShipOrder, log: Log) -> Callable[[Store, bool], None]:
    """Signs what the chains of this machine were, now and then and at the end; it never stops the shipping."""
    anchor = Path(order.checkpoint_anchor) if order.checkpoint_anchor else None
    signing = CheckpointLog(state.checkpoints, anchor)
    due_at = 0.0

    def shipped(store: Store, last: bool) -> None:
        nonlocal due_at
        if not last and time.monotonic() < due_at:
            return
        due_at = time.monotonic() + order.checkpoint_every_s
        own = set(chain_names(state.journal))
        try:
            signing.write([mark for mark in store.shipped_all() if mark.chain in own], now_ms())
        except OSError as error:
            log.error("a checkpoint could not be written", reason=str(error))

    return shipped


def _alarm(log: Log) -> Callable[[tuple[Finding, ...]], None]:
    """Tells operators at once what `ledger verify` would tell them one day."""

    def tell(findings: tuple[Finding, ...]) -> None:
        for found in findings:
            log.error("the journal is damaged", chain=found.chain, finding=found.kind, reason=found.message)

    return tell


async def _source(options: ServeOptions) -> tuple[ConfigSource, tuple[str, ...], Simulator | None]:
    """The file, or what discovery finds, or the built-in simulator when there is nothing else."""
    if options.config is not None:
        return FileSource(options.config), (), None
    found = await discover(options.environ, exclude_ports=(options.port, options.admin_port))
    simulator: Simulator | None = None
    if found is None:
        simulator = Simulator(SimulatorSettings(latency="on"))
        await simulator.start()
        found = simulated(simulator.url, _simulated_models(simulator))
    return FixedSource(Text(found.text.encode(), "(discovered)")), found.lines, simulator


def _simulated_models(simulator: Simulator) -> list[SimulatedModel]:
    """The models of the simulator's first two providers, one of each protocol family."""
    models: list[SimulatedModel] = []
    shown: tuple[tuple[str, schema.Protocol, str], ...] = (
        ("openai", "openai", "/openai/v1"),
        ("anthropic", "anthropic", "/anthropic"),
    )
    for provider, protocol, path in shown:
        for name, prices in simulator.prices[provider].items():
            embeds = "embed" in name
            if embeds and protocol == "anthropic":
                continue
            models.append(
                SimulatedModel(
                    name=name if provider == "openai" else f"{provider}/{name}",
                    model=name,
                    path=path,
                    protocol=protocol,
                    price=msgspec.structs.asdict(prices),
                    apis=("embeddings",) if embeds else (),
                )
            )
    return models


def _check(text: Text, generation: int) -> Checked:
    declared = load_text(text.content, text.name)
    compiled = compile_declared(declared, generation)
    snapshot = compiled.snapshot
    found = due(declared, snapshot)
    return Checked(
        snapshot.version,
        compiled.server.shutdown_grace_s,
        snapshot.stale_on,
        compiled.files,
        tuple(f"{each.where}: {each.message}" for each in found),
        {about: count for about, count in counts(found).items() if about not in ("error", "warning")},
    )


def _first_key(store: Store, pepper: bytes) -> Secret | None:
    """A key for the very first call, made when there is none at all."""
    if store.list_keys():
        return None
    return create(store, NewKey("first", deployments=(EVERY,)), pepper, now_ms())[1]


def _spawner(
    options: ServeOptions, state: StateDir, listener: socket.socket, log: Log, lend: LendTo
) -> Callable[[], Awaitable[Link]]:
    """How a worker comes to be: in this process when there is one, else each in its own."""

    async def local() -> Link:
        plane = DataPlane(state, new_chain("single"), log, lend)
        return LocalLink(plane.worker(listener).obey, plane.recall, plane.close)

    async def process() -> Link:
        return await ProcessLink.spawn(listener, ["--state-dir", str(options.state_dir)], lend)

    return local if options.workers == 1 else process


def _bind(host: str, port: int) -> socket.socket:
    """The data plane's listening socket, which every worker inherits."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        fix = "Choose another --port, or stop what holds it." if error.errno == errno.EADDRINUSE else "Check --host."
        raise ConfigError([f"{host}:{port}: cannot listen ({error.strerror}). {fix}"]) from None
    return listener


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def _stopping() -> asyncio.Event:
    """Set by SIGTERM or SIGINT, twice the same as once, from the first moment of the start on."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    return stopping


def _obey_hangup(supervisor: Supervisor) -> None:
    """SIGHUP reloads."""

    def reload() -> None:
        supervisor.reload_wanted = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


class _ConsoleServer(uvicorn.Server):
    """uvicorn without its own signal handling: the supervisor's is the only one."""

    port = 0
    serving: asyncio.Task[None]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def stop(self) -> None:
        self.should_exit = True
        await self.serving


def _explainer_of(supervisor: Supervisor) -> Callable[[], Explainer]:
    """Explains under the configuration in force, compiled once for each."""
    made: list[tuple[int, Explainer]] = []

    def explainer() -> Explainer:
        generation = supervisor.generation
        if not made or made[0][0] != generation:
            text = supervisor.text
            made[:] = [(generation, explainer_for(load_text(text.content, text.name), generation))]
        return made[0][1]

    return explainer


async def _start_console(options: ServeOptions, supervisor: Supervisor, office: KeyOffice) -> _ConsoleServer:
    listener = _bind(options.admin_host, options.admin_port)
    app = Console(supervisor, office, is_loopback(options.admin_host), _explainer_of(supervisor)).app()
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    server = _ConsoleServer(config)
    server.port = listener.getsockname()[1]
    server.serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    return server


# --- a drill ---


class _DrillPlane:
    """A data plane that listens nowhere, for control.drill. Its callers come over socket pairs, so that even here only
    the transport opens connections."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._socket = socket.socket()  # never bound
        self._plane = DataPlane(state, new_chain("drill"), Log("drill"))
        self._worker = self._plane.worker(self._socket)

    async def obey(self, order: Order) -> Report:
        return await self._worker.obey(order)

    async def reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        gateway = self._worker.gateway
        if gateway is None:
            raise RuntimeError("a drill calls only after its configuration is in force")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(gateway), theirs)
        return await asyncio.open_connection(sock=ours)

    def books(self) -> Store:
        store = open_store(self._state)
        Shipping(store, self._state.journal).ship_once()
        return store

    async def close(self) -> None:
        await self._worker.drain(0)
        await self._plane.close()
        self._socket.close()


def run_drill(plan: Plan, progress: Progress) -> Result:
    """Drill a configuration in a state directory of its own. Raises ConfigError when it cannot be used."""
    with TemporaryDirectory(prefix="signalbox-drill-") as folder:
        return uvloop.run(_drill(plan, progress, StateDir(Path(folder) / "state")))


def run_fault_drill(plan: Plan, progress: Progress) -> FaultResult:
    """The same with every fault of a provider at its turn."""
    with TemporaryDirectory(prefix="signalbox-drill-") as folder:
        return uvloop.run(_fault_drill(plan, progress, StateDir(Path(folder) / "state")))


async def _fault_drill(plan: Plan, progress: Progress, state: StateDir) -> FaultResult:
    plane = _DrillPlane(state)
    try:
        return await drill_faults(plan, plane, progress)
    finally:
        await plane.close()


async def _drill(plan: Plan, progress: Progress, state: StateDir) -> Result:
    plane = _DrillPlane(state)
    try:
        return await drill(plan, plane, progress)
    finally:
        await plane.close()
