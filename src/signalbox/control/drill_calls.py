"""The calls of a drill: random ones for the workloads of a file, with content whose data classes are known."""

from __future__ import annotations

import re
from itertools import product
from random import Random
from typing import Any

import msgspec

from signalbox.control.drill_judge import DEFAULT, LEAST_LEVEL, LEVELS, Case, Judge, Plain, entries, mapping
from signalbox.control.keys import NewKey

CALLERS_MAX = 12
PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
}
# What nobody minds.
_PLAIN = tuple(
    f"Write {how} about {what}."
    for how in ("a sentence", "three words", "a short poem", "a paragraph")
    for what in ("rivers", "bread", "the weather", "old bridges", "music", "a quiet evening")
)
# What nobody may overlook, with the tag that it has to be given.
_CLASSIFIED = (
    ("Please charge my card 4111 1111 1111 1111, expiry 12/29.", "pci"),
    ("Deploy with the token ghp_x7Kq2LmN9pR4tV6wY8zA1bC3dE5fG0hJ2kL4 please.", "credentials"),
    ("My e-mail address is maria.huber@beispiel-firma.de, write to me there.", "personal"),
)
_IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
_SEARCH = {"chat": "web_search", "responses": "web_search", "messages": "web_search_20250305"}


class Made(msgspec.Struct):
    """One call. case: as its author knows it. plain: nothing in it can get in the way of a translation."""

    case: Case
    caller: int
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    plain: bool


class Draft(msgspec.Struct):
    """What goes into a body, and what that means."""

    body: dict[str, Any]
    holds: set[str]
    onward: list[str]
    unknown_tool: bool = False
    opaque: bool = False


class Maker:
    """Makes calls for one file. doc: as plain values."""

    def __init__(self, doc: Plain, judge: Judge, rng: Random) -> None:
        self._doc = doc
        self._judge = judge
        self._rng = rng
        self._workloads = mapping(doc, "workloads") or {DEFAULT: {}}
        self._deployments = list(mapping(doc, "deployments"))
        self._names: dict[str, list[str]] = {}
        for alias, target in mapping(doc, "aliases").items():
            self._names.setdefault(target, []).append(alias)
        self.callers = _callers(doc)
        # Data classes that rules are about come up most.
        named = re.findall("|".join(map(re.escape, LEAST_LEVEL)), str(entries(doc, "rules")))
        self._classes = (*LEVELS, *LEAST_LEVEL, *(named * 4))

    def make(self) -> Made:
        rng = self._rng
        caller = rng.randrange(len(self.callers))
        key = self.callers[caller]
        workload = rng.choice(self._open_to(key))
        api = rng.choice(("chat", "chat", "chat", "responses", "messages", "messages", "completions", "embeddings"))
        draft = self._draft(api, workload)
        pinned = rng.choice(self._deployments) if rng.random() < 0.05 else None
        headers: list[tuple[str, str]] = []
        target = workload if pinned is None else pinned
        if pinned is not None:
            headers.append(("x-signalbox-workload", workload))
        draft.body["model"] = rng.choice([target, *self._names.get(target, ())])
        said = {rng.choice(self._classes) for _ in range(rng.randint(1, 2))} if rng.random() < 0.4 else set[str]()
        if said:
            headers.append(("x-signalbox-data", ",".join(sorted(said))))
        labels = said | draft.holds | self._judge.floor(workload)
        if draft.opaque:
            labels |= self._judge.opaque(workload)
        case = Case(
            workload=workload,
            api=api,
            labels=frozenset(labels),
            tenant=key.tenant,
            team=key.team,
            pinned=pinned,
            onward=tuple(draft.onward),
            unknown_tool=draft.unknown_tool,
            opaque=draft.opaque,
            tools="tools" in draft.body,
        )
        plain = not (draft.onward or draft.opaque or draft.unknown_tool)
        return Made(case, caller, PATHS[api], tuple(headers), msgspec.json.encode(draft.body), plain)

    def _open_to(self, key: NewKey) -> list[str]:
        """The workloads that a key may use."""
        teams = mapping(self._doc, "teams")
        listed = entries(teams[key.team], "workloads") if key.team in teams else []
        return listed or list(self._workloads)

    def _draft(self, api: str, workload: str) -> Draft:
        rng = self._rng
        text, holds = rng.choice(_PLAIN), set[str]()
        looks = mapping(self._workloads[workload], "classify").get("detectors", "all")
        if looks == "all" and rng.random() < 0.2:
            text, tag = rng.choice(_CLASSIFIED)
            holds = {tag}
        draft = Draft({}, holds, [])
        body = draft.body
        if api == "embeddings":
            body["input"] = text
            return draft
        if rng.random() < 0.5:
            body["stream"] = True
        if api == "completions":
            body |= {"prompt": text, "max_tokens": 16}
        elif api == "responses":
            body |= {"input": text, "max_output_tokens": 16}
            if rng.random() < 0.5:
                body["store"] = False
            else:
                draft.onward.append("store")
        else:
            body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 16}
        if api != "completions" and rng.random() < 0.15:
            self._more(api, text, draft)
        return draft

    def _more(self, api: str, text: str, draft: Draft) -> None:
        """Something that goes further than text: a provider's own tool, one that nobody knows, an image."""
        what = self._rng.choice(("search", "unknown", "image"))
        if what == "search":
            draft.body["tools"] = [{"type": _SEARCH[api], "name": "web_search"}]
            draft.onward.append("web_search")
        elif what == "unknown":
            draft.body["tools"] = [{"type": "drill_tool", "name": "drill_tool"}]
            draft.unknown_tool = True
        else:
            draft.opaque = True
            turn = {"role": "user", "content": [*_parts(api, text)]}
            draft.body["input" if api == "responses" else "messages"] = [turn]


def _parts(api: str, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    url = f"data:image/png;base64,{_IMAGE}"
    if api == "responses":
        return {"type": "input_text", "text": text}, {"type": "input_image", "image_url": url}
    if api == "chat":
        return {"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}
    source = {"type": "base64", "media_type": "image/png", "data": _IMAGE}
    return {"type": "text", "text": text}, {"type": "image", "source": source}


def _callers(doc: Plain) -> list[NewKey]:
    """One key for each tenant and team that matters, at most CALLERS_MAX."""
    whens = [mapping(rule, "when") for rule in entries(doc, "rules")]
    tenants = ["default", *(name for when in whens for name in entries(when, "tenants"))]
    teams = ["", *(name for when in whens for name in entries(when, "teams")), *mapping(doc, "teams")]
    pairs = list(product(dict.fromkeys(tenants), dict.fromkeys(teams)))[:CALLERS_MAX]
    return [NewKey("drill", tenant=tenant, team=team, deployments=("*",)) for tenant, team in pairs]
