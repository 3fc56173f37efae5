"""The playground: one question to several places side by side, as any client would ask it, with the decision."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from signalbox.console.access import Visit
from signalbox.console.desk import Desk
from signalbox.control.explain import Explanation, Question
from signalbox.control.in_force import InForce
from signalbox.control.playground import Gateway, Piece, Trial, tried
from signalbox.core.errors import CallError, ConfigError

TARGETS_MAX = 4
TEXT_CHARS_MAX = 100_000
TOKENS_MAX = 4096
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_DATA = re.compile(r"[a-z0-9, -]{0,300}")


class Shown(msgspec.Struct):
    """What came back from one place."""

    model: str
    status: int = 0
    headers: dict[str, str] = {}
    text: str = ""
    end: Piece = Piece()


class Playground:
    """The key is used for this call and not kept."""

    def __init__(self, desk: Desk, gateway: Gateway) -> None:
        self._desk = desk
        self._gateway = gateway

    async def show(self, request: Request, visit: Visit) -> Response:
        return await self._page(request, visit, [], None, {})

    async def ask(self, request: Request, visit: Visit) -> Response:
        trials = _trials(visit.form)
        answers = await asyncio.gather(*(self._whole(trial) for trial in trials))
        explanation = await self._explained(trials[0])
        return await self._page(request, visit, list(answers), explanation, visit.form)

    async def stream(self, request: Request, visit: Visit) -> Response:
        """The first place's answer as it comes, a JSON object a line."""
        trial = _trials(visit.form)[0]

        async def lines() -> AsyncIterator[bytes]:
            async for piece in tried(self._gateway, trial):
                yield msgspec.json.encode(piece) + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def _whole(self, trial: Trial) -> Shown:
        shown = Shown(trial.model)
        texts: list[str] = []
        async for piece in tried(self._gateway, trial):
            if piece.status:
                shown.status, shown.headers = piece.status, piece.headers
            texts.append(piece.text)
            if piece.end:
                shown.end = piece
        shown.text = "".join(texts)
        return shown

    async def _explained(self, trial: Trial) -> Explanation | None:
        """Under the rules for any caller: whose key it is, is not asked."""
        body = {"model": trial.model, "messages": [{"role": "user", "content": trial.text}]}
        question = Question(msgspec.Raw(msgspec.json.encode(body)), data=trial.data)
        try:
            return await self._desk.read(lambda store, now: now.explainer.explain(question))
        except CallError:
            return None

    async def _page(
        self, request: Request, visit: Visit, answers: list[Shown], told: Explanation | None, form: dict[str, str]
    ) -> Response:
        def read(store: object, now: InForce) -> dict[str, Any]:
            return {
                "answers": answers,
                "told": told,
                "form": {**form, "key": ""},
                "workloads": list(now.snapshot.workloads),
                "deployments": [one.name for one in now.snapshot.deployments],
            }

        return await self._desk.page(request, visit, "playground.html", read)


def _trials(form: dict[str, str]) -> list[Trial]:
    """Raises ConfigError."""
    models = list(dict.fromkeys(form.get("models", "").replace(",", " ").split()))
    text, key, data = form.get("text", ""), form.get("key", "").strip(), form.get("data", "").strip()
    tokens = form.get("max_tokens", "256")
    problems: list[str] = []
    if not 1 <= len(models) <= TARGETS_MAX or any(len(model) > 256 for model in models):
        problems.append(f"models: name 1 to {TARGETS_MAX} workloads or deployments.")
    if not 1 <= len(text) <= TEXT_CHARS_MAX:
        problems.append(f"text: ask something, in {TEXT_CHARS_MAX} characters at most.")
    if not _KEY.fullmatch(key):
        problems.append("key: a virtual key that calls models is needed.")
    if not _DATA.fullmatch(data):
        problems.append("data: names of data classes with commas between them.")
    if not tokens.isascii() or not tokens.isdecimal() or len(tokens) > 5 or not 1 <= int(tokens) <= TOKENS_MAX:
        problems.append(f"max_tokens: 1 to {TOKENS_MAX}.")
    if problems:
        raise ConfigError(problems)
    return [Trial(model, text, key, int(tokens), data) for model in models]
