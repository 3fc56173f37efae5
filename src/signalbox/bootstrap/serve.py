"""A whole installation: the supervisor, its workers, shipper and console, from start to a clean end."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable

import uvloop

from signalbox.bootstrap.admin import open_door
from signalbox.bootstrap.clock import now_ms, today
from signalbox.bootstrap.compiling import checked, compile_text
from signalbox.bootstrap.data_plane import DataPlane
from signalbox.bootstrap.exporting import exporter_process
from signalbox.bootstrap.options import ServeOptions, Started
from signalbox.bootstrap.shipper import alarm
from signalbox.bootstrap.shipping import ship_order, shipping
from signalbox.bootstrap.sockets import allow_descriptors, bind, own_host, shown_url
from signalbox.bootstrap.sources import first_source
from signalbox.bootstrap.storage import open_store
from signalbox.control.attendant import Attendant
from signalbox.control.doorbell import Doorbell
from signalbox.control.key_sets import KeySets
from signalbox.control.keys import NewKey, create
from signalbox.control.links import LendTo, Link, LocalLink, ProcessLink, Want
from signalbox.control.office import KeyOffice
from signalbox.control.playground import Gateway
from signalbox.control.state import StateDir, admin_secret, confirm_pepper, stated_admin_secret
from signalbox.control.storage import StoreThread
from signalbox.control.supervisor import Supervisor
from signalbox.control.treasury import Treasury, end_dead_leases
from signalbox.control.true_up import Closer
from signalbox.core.ports import Store
from signalbox.core.secret import Secret
from signalbox.ledger.journal import new_chain
from signalbox.ledger.recover import Recovery, recover
from signalbox.policy.access import EVERY
from signalbox.telemetry.log import Log, told_of_tasks

# What workers may have told and the exporter not yet read.
SPAN_BUFFER_BYTES = 1 << 20


def run_serve(options: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean drain. Raises ConfigError when it cannot start."""
    allow_descriptors()
    return uvloop.run(_serve(options))


async def _serve(options: ServeOptions) -> int:
    began = time.perf_counter()
    stopping = _stopping()
    log = Log("supervisor")
    asyncio.get_running_loop().set_exception_handler(told_of_tasks(log))
    state = StateDir(options.state_dir)
    state.hold()
    stated_admin_secret(dict(options.environ))
    listener = bind(options.host, options.port)
    admin_listener = bind(options.admin_host, options.admin_port, "admin-")
    source, found, simulator = await first_source(options)
    text = source.read()
    compiled = compile_text(text.content, text.name, 1)
    config = compiled.declared.config
    url = config.store
    store = StoreThread(lambda: open_store(state, url))
    pepper = state.pepper()
    store.run_now(lambda opened: confirm_pepper(opened, pepper))
    told, telling = _channel()
    treasury = Treasury(
        lambda: open_store(state, url), lambda: options.workers, lambda accounts: supervisor.workers.recall(accounts)
    )
    supervisor = Supervisor(
        source=source,
        store=store,
        pepper=pepper,
        workers=options.workers,
        spawn=_spawner(options, state, listener, telling, log, treasury.lend, lambda issuer: key_sets.want(issuer)),
        recover=lambda: _recover(state, log),
        end_leases=lambda opened: end_dead_leases(opened, state.journal),
        check=checked,
        shipping=shipping(ship_order(state, config), log),
        stop_listening=listener.close,
        today=today,
        stopping=stopping,
        log=log,
    )
    _obey_hangup(supervisor)
    key_sets = KeySets(supervisor, state.key_sets, log)
    attendant = Attendant(supervisor, exporter_process(told, log), socket.gethostname(), now_ms, log)
    closer = Closer(supervisor, store, state.journal, now_ms, log)
    doorbell = Doorbell(state.doorbell, supervisor.keys.load, log)
    port = listener.getsockname()[1]
    gateway = Gateway(own_host(options.host), port, lambda: supervisor.checked.certificate_file)
    await key_sets.begin(compiled.snapshot.issuers)
    await supervisor.start()
    await doorbell.start()
    # What is shown once is made when nothing is left that could end the start before it is shown.
    admin = await store.run(lambda opened: admin_secret(opened, dict(options.environ)))
    first_key = await store.run(lambda opened: _first_key(opened, pepper))
    await supervisor.keys.load()
    office = KeyOffice(
        store, admin, pepper, state.journal, now_ms, lambda: supervisor.checked.sign_in, supervisor.keys.load
    )
    console = open_door(options, admin_listener, supervisor, office, state, gateway, lambda: open_store(state, url))
    options.greet(
        Started(
            url=shown_url(options.host, listener.getsockname()[1], "https" if compiled.tls is not None else "http"),
            admin_url=shown_url(options.admin_host, console.port),
            workers=options.workers,
            version=supervisor.checked.version,
            admin_secret=admin.made,
            first_key=first_key,
            seconds=time.perf_counter() - began,
            found=found,
        )
    )
    running = (attendant.run(), key_sets.run(), closer.run())
    beside = [asyncio.get_running_loop().create_task(each) for each in running]
    await supervisor.run()
    for task in beside:
        task.cancel()
    doorbell.stop()
    await attendant.stop()
    await console.stop()
    if simulator is not None:
        await simulator.stop()
    treasury.close()
    store.close()
    return 0


def _recover(state: StateDir, log: Log) -> Recovery:
    """Settles what dead processes left open, and tells what is damaged."""
    recovery = recover(state.journal, now_ms())
    if recovery.findings:
        alarm(log)(recovery.findings)
    return recovery


def _first_key(store: Store, pepper: bytes) -> Secret | None:
    """A key for the very first call, made when there is none at all."""
    if store.list_keys():
        return None
    return create(store, NewKey("first", deployments=(EVERY,)), pepper, now_ms())[1]


def _spawner(
    options: ServeOptions,
    state: StateDir,
    listener: socket.socket,
    telling: socket.socket,
    log: Log,
    lend: LendTo,
    want: Want,
) -> Callable[[], Awaitable[Link]]:
    """How a worker comes to be: in this process when there is one, else each in its own."""

    async def local() -> Link:
        plane = DataPlane(state, new_chain("single"), log, lend, spans=telling, want_keys=want)
        return LocalLink(plane.worker(listener).obey, plane.recall, plane.close)

    async def process() -> Link:
        return await ProcessLink.spawn(listener, telling, ["--state-dir", str(options.state_dir)], lend, want)

    return local if options.workers == 1 else process


def _channel() -> tuple[socket.socket, socket.socket]:
    """Where workers tell of their calls, and the end from which it is read. Neither side ever waits."""
    told, telling = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.setblocking(False)
    telling.setblocking(False)
    telling.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SPAN_BUFFER_BYTES)
    return told, telling


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
