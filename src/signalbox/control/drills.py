"""Drills run from the console: one at a time, in a process of its own, their results kept in the state directory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from signalbox.control.drill_watch import Sight
from signalbox.control.state import StateDir
from signalbox.control.versions import write_whole
from signalbox.core.errors import ConfigError

FOLDER = "drills"
KINDS = ("escapes", "faults", "outages")
KEPT_MAX = 50
CALLS_MAX = 20_000
RESULT_BYTES_MAX = 8 * 1024 * 1024
# Kept of what a drill that could not be run says about it.
_WHY_BYTES = 500
DRILL_S_MAX = 1800.0
_NICE = 15


class Drill(msgspec.Struct, frozen=True):
    """One drill. state: running, good, findings or failed. result: as `signalbox drill --json` prints it. seen: the
    last look at it."""

    id: str
    began_ms: int
    ended_ms: int
    kind: str
    calls: int
    seed: int
    by: str
    state: str
    why: str = ""
    result: dict[str, Any] = {}
    seen: Sight = Sight()


class Drills:
    """command: how to start this program's own command line."""

    def __init__(self, state: StateDir, now_ms: Callable[[], int], command: tuple[str, ...] = ()) -> None:
        self._folder = state.root / FOLDER
        self._now_ms = now_ms
        self._command = command or (sys.executable, "-m", "signalbox")
        self._running: Drill | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> Drill | None:
        return self._running

    def list(self) -> list[Drill]:
        """The newest first."""
        if not self._folder.is_dir():
            return []
        paths = sorted(self._folder.glob("*.json"), reverse=True)[:KEPT_MAX]
        return [msgspec.json.decode(path.read_bytes(), type=Drill) for path in paths]

    def one(self, drill_id: str) -> Drill | None:
        if self._running is not None and self._running.id == drill_id:
            return self._running
        return next((drill for drill in self.list() if drill.id == drill_id), None)

    def start(self, content: bytes, kind: str, calls: int, by: str) -> Drill:
        """kind: of KINDS. Raises ConfigError when one runs already, or what is asked for makes no sense."""
        if self._running is not None:
            raise ConfigError(["a drill is running already. Wait for its end."])
        if kind not in KINDS or not 1 <= calls <= CALLS_MAX:
            raise ConfigError([f"a drill is of {', '.join(KINDS[:-1])} or {KINDS[-1]}, with 1 to {CALLS_MAX} calls."])
        began_ms, seed = self._now_ms(), secrets.randbits(31)
        drill = Drill(f"{began_ms:015d}-{secrets.token_hex(3)}", began_ms, 0, kind, calls, seed, by, "running")
        self._running = drill
        self._task = asyncio.get_running_loop().create_task(self._run(drill, content))
        return drill

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, drill: Drill, content: bytes) -> None:
        ended = msgspec.structs.replace(drill, state="failed", why="it was interrupted")
        try:
            ended = msgspec.structs.replace(await self._result(drill, content), seen=self._seen())
        except OSError as error:
            ended = msgspec.structs.replace(drill, state="failed", why=f"it could not be run: {error.strerror}")
        finally:
            self._running = None
            self._keep(msgspec.structs.replace(ended, ended_ms=self._now_ms()))

    async def _result(self, drill: Drill, content: bytes) -> Drill:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{drill.id}.yaml"
        write_whole(path, content)
        arguments = ["drill", "--config", str(path), "--calls", str(drill.calls), "--seed", str(drill.seed)]
        arguments += ["--json", "--watch"]
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            *([] if drill.kind == KINDS[0] else [f"--{drill.kind}"]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_step_back,
            limit=RESULT_BYTES_MAX,
        )
        try:
            out, err = await asyncio.wait_for(self._followed(process), DRILL_S_MAX)
        except TimeoutError:
            return msgspec.structs.replace(drill, state="failed", why=f"it took longer than {DRILL_S_MAX:.0f} s")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            path.unlink(missing_ok=True)
        if process.returncode not in (0, 1) or len(out) > RESULT_BYTES_MAX:
            return msgspec.structs.replace(drill, state="failed", why=err.decode("utf-8", "replace").strip())
        result = msgspec.json.decode(out, type=dict[str, Any])
        return msgspec.structs.replace(drill, state="findings" if process.returncode else "good", result=result)

    async def _followed(self, process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
        """What it printed, and the end of what it complained of; the looks in between are kept as they come."""
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("both were piped")
        out, err = await asyncio.gather(process.stdout.read(), self._watched(process.stderr))
        await process.wait()
        return out, err

    async def _watched(self, lines: asyncio.StreamReader) -> bytes:
        said = b""
        async for line in lines:
            try:
                sight = msgspec.json.decode(line, type=Sight)
            except msgspec.MsgspecError:
                said = (said + line)[-_WHY_BYTES:]
                continue
            drill = self._running
            if drill is not None:
                self._running = msgspec.structs.replace(drill, seen=sight)
        return said

    def _seen(self) -> Sight:
        return self._running.seen if self._running is not None else Sight()

    def _keep(self, drill: Drill) -> None:
        with contextlib.suppress(OSError):
            write_whole(self._folder / f"{drill.id}.json", msgspec.json.encode(drill))
            for path in sorted(self._folder.glob("*.json"), reverse=True)[KEPT_MAX:]:
                path.unlink(missing_ok=True)


def _step_back() -> None:
    """Calls go first."""
    os.nice(_NICE)
