"""The oracle: a naive reading of signalbox.yaml that says which deployments may see a call, and shares no code with us.

It reads the text, and the files of packs, with the YAML library's own loader, and judges one deployment, one rule and
one question at a time, predicates in Kleene's three values. Slow on purpose; answers to equal questions are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PACK_FILES = ROOT / "src/signalbox/policy/packs"

APIS = ("chat", "responses", "messages", "completions", "embeddings", "count_tokens")
LEVELS = ("public", "internal", "confidential", "restricted")
CONFIDENTIAL = 2
# The level that a tag implies.
TAG_LEVEL = {
    **dict.fromkeys(("personal", "financial", "source-code", "legal", "government"), 2),
    **dict.fromkeys(("special-category", "phi", "pci", "pci-sad", "credentials", "national-id"), 3),
    **dict.fromkeys(("export-controlled", "children"), 3),
    "opaque": 1,
}
# What may stand in for an API that a deployment does not speak.
STANDS_IN = {
    "chat": ("chat", "responses", "messages"),
    "responses": ("chat", "responses", "messages"),
    "messages": ("chat", "responses", "messages"),
    "completions": ("chat", "responses", "messages", "completions"),
    "embeddings": ("embeddings",),
    "count_tokens": ("count_tokens",),
}
USUAL_APIS = {"openai": ("chat", "completions", "embeddings"), "anthropic": ("messages", "count_tokens")}


def level_of(names: set[str]) -> int:
    return max([0, *(LEVELS.index(name) if name in LEVELS else TAG_LEVEL[name] for name in names)])


def told_by(names: set[str]) -> set[str]:
    """A set of labels as records spell it: one level, and the tags."""
    return {LEVELS[level_of(names)]} | (names - set(LEVELS))


@dataclass(frozen=True)
class Caller:
    """A virtual key as its owner asked for it."""

    tenant: str = "default"
    team: str = ""
    workloads: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What a call is, as its author knows it. header: data classes it states. holds: tags of what was put into it.
    onward: what in it goes further than the model. unknown_tool: it names a tool nobody knows. opaque: it holds parts
    that nobody can read."""

    api: str
    model: str
    workload_header: str | None = None
    header: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    onward: tuple[str, ...] = ()
    unknown_tool: bool = False
    opaque: bool = False
    tools: bool = False


@dataclass(frozen=True)
class Place:
    """What a call resolves to: the workload it runs in, and the one deployment it named."""

    workload: str
    pinned: str | None = None


@dataclass
class Oracle:
    """One version of the file, on one day."""

    text: str
    today: str
    doc: dict[str, Any] = field(init=False)
    kept: dict[Any, Any] = field(default_factory=dict[Any, Any])

    def __post_init__(self) -> None:
        self.doc = yaml.load(self.text, Loader=yaml.CSafeLoader)

    # --- names ---

    def resolve(self, caller: Caller, facts: Facts) -> Place | None:
        """None where the call must be turned away: a name in it means nothing, or nothing that this caller may use."""
        doc = self.doc
        if not set(facts.header) <= {*LEVELS, *TAG_LEVEL}:
            return None
        name = doc.get("aliases", {}).get(facts.model, facts.model)
        named_workload, named_deployment = name in doc["workloads"], name in doc["deployments"]
        pinned = name if named_deployment else None
        if pinned is not None and pinned not in caller.deployments and "*" not in caller.deployments:
            return None
        if facts.workload_header is not None:
            if named_workload and name != facts.workload_header:
                return None
            return Place(facts.workload_header, pinned) if self.may_use(caller, facts.workload_header) else None
        if named_workload:
            return Place(name) if self.may_use(caller, name) else None
        if pinned is None and facts.model != "auto":
            return None
        usual = self.usual(caller)
        return Place(usual, pinned) if usual is not None else None

    def may_use(self, caller: Caller, workload: str) -> bool:
        if workload not in self.doc["workloads"]:
            return False
        if caller.workloads and workload not in caller.workloads:
            return False
        team = self.doc.get("teams", {}).get(caller.team, {}).get("workloads", [])
        return not team or workload in team

    def usual(self, caller: Caller) -> str | None:
        """The workload of a caller who names none."""
        if caller.workloads:
            return caller.workloads[0] if self.may_use(caller, caller.workloads[0]) else None
        for name in (self.doc.get("default_workload"), *self.doc["workloads"]):
            if name is not None and self.may_use(caller, name):
                return name
        return None

    # --- labels ---

    def stated(self, caller: Caller, facts: Facts) -> set[str]:
        """What caller, header and content say, without the workload's own."""
        return set(caller.data) | set(facts.header) | set(facts.holds)

    def labels(self, place: Place, caller: Caller, facts: Facts) -> set[str]:
        spec = self.doc["workloads"][place.workload]
        names = self.stated(caller, facts) | set(spec.get("data", []))
        if facts.opaque:
            names |= set(spec.get("opaque", ["confidential"]))
        return names

    # --- where it may go ---

    def permitted(self, place: Place, caller: Caller, facts: Facts, names: set[str]) -> frozenset[str]:
        """The deployments that may see the call as it came."""
        asked = (place, caller.tenant, caller.team, facts.api, facts.onward, facts.unknown_tool, frozenset(names))
        found = self.kept.get(asked)
        if found is None:
            found = self.kept[asked] = frozenset(self._permitted(place, caller, facts, names))
        return found

    def _permitted(self, place: Place, caller: Caller, facts: Facts, names: set[str]) -> set[str]:
        own = set(self.doc["workloads"][place.workload].get("data", []))
        if facts.unknown_tool and level_of(names | own) >= CONFIDENTIAL:
            return set()
        found: set[str] = set()
        for name, entry in self.doc["deployments"].items():
            if place.pinned not in (None, name):
                continue
            onward = bool(facts.onward)
            if facts.onward == ("store",) and (
                "zero-retention" in self.attested_names(entry["environment"]) or facts.api not in self.native(name)
            ):
                onward = False  # it is told not to store, or the call is translated, which leaves storing out
            refused = self.refusing(name, place.workload, names, onward, facts.api, caller.tenant, caller.team)
            if place.pinned is not None:
                refused = [rule for rule in refused if rule != "placements"]
            if not refused:
                found.add(name)
        return found

    def able(self, facts: Facts, permitted: frozenset[str]) -> set[str]:
        """Those of the permitted that can serve the call at all."""
        return {name for name in permitted if self.serves(name, facts)}

    def serves(self, name: str, facts: Facts) -> bool:
        capabilities = self.doc["deployments"][name].get("capabilities", {})
        if not set(self.native(name)) & set(STANDS_IN[facts.api]):
            return False
        if facts.tools and not capabilities.get("tools", True):
            return False
        return not (facts.opaque and not capabilities.get("images", True))

    def native(self, name: str) -> tuple[str, ...]:
        entry = self.doc["deployments"][name]
        return tuple(entry.get("capabilities", {}).get("apis") or USUAL_APIS[entry["protocol"]])

    def attempts_max(self, place: Place) -> int:
        return self.doc["workloads"][place.workload].get("retries", {}).get("max_attempts", 3)

    def attested_names(self, environment: str) -> set[str]:
        return {held["name"] for held in self.environment(environment)["attests"]}

    # --- rules ---

    def refusing(
        self,
        deployment: str,
        workload: str,
        names: set[str],
        onward: bool,
        api: str,
        tenant: str = "",
        team: str = "",
        guard: str = "",
    ) -> list[str]:
        """Ids of the rules that forbid this deployment, `placements` first when the workload does not list it."""
        spec = self.doc["workloads"][workload]
        environment = self.environment(self.doc["deployments"][deployment]["environment"])
        native = self.native(deployment)
        found: list[str] = []
        if spec.get("placements") and deployment not in spec["placements"]:
            found.append("placements")
        for rule in self.rules():
            if not applies(rule, workload, spec, names, tenant, team):
                continue
            allowed = self.judge(rule["allow"], environment, native, api) is True
            change = rule.get("transform")
            if guard and change == guard:
                allowed = True
            elif guard and isinstance(change, dict) and change["guard"] == guard:
                allowed = allowed or self.judge(change["allow"], environment, native, api) is True
            further = rule.get("onward", "deny")
            if onward and isinstance(further, dict):
                allowed = allowed and self.judge(further, environment, native, api) is True
            elif onward:
                allowed = allowed and further == "allow"
            if not allowed:
                found.append(rule["id"])
        return found

    def rules(self) -> list[dict[str, Any]]:
        rules = [*self.doc.get("rules", []), *(rule for name in self.doc.get("packs", []) for rule in pack_rules(name))]
        return [rule for rule in rules if "allow" in rule]

    def environment(self, name: str) -> dict[str, Any]:
        """The environment with what the register lends it: only what it says nothing about itself."""
        environment = self.doc["environments"][name]
        own = [as_held(entry) for entry in environment.get("attests", [])]
        lent: list[dict[str, Any]] = []
        for vendor, about in self.doc.get("vendors", {}).items():
            if (operator(environment) or "").lower() != vendor.lower():
                continue
            for entry in map(as_held, about.get("attests", [])):
                limited = entry.get("environments")
                if entry["name"] not in [held["name"] for held in own] and (not limited or name in limited):
                    lent.append(entry)
        return {**environment, "attests": own + lent}

    def judge(
        self, predicate: dict[str, Any], environment: dict[str, Any], native: tuple[str, ...], api: str
    ) -> bool | None:
        """True and False are certain; None is neither."""
        region = environment.get("region")
        storage = environment.get("storage_region", region)
        verdicts: list[bool | None] = []
        for key, wanted in predicate.items():
            if key == "kind":
                verdicts.append(environment["kind"] in wanted)
            elif key == "region":
                here, there = in_any_region(region, wanted), in_any_region(storage, wanted)
                verdicts.append(here if here is there else None)
            elif key == "storage_region":
                verdicts.append(in_any_region(storage, wanted))
            elif key == "jurisdiction":
                verdicts.append(in_any_region(environment.get("jurisdiction"), wanted))
            elif key == "operator":
                who = operator(environment)
                verdicts.append(None if who is None else who.lower() in [name.lower() for name in wanted])
            elif key == "attests":
                verdicts.append(kleene_and([self.attested(environment, name, native, api) for name in wanted]))
            elif key == "any":
                verdicts.append(kleene_or([self.judge(part, environment, native, api) for part in wanted]))
            elif key == "all":
                verdicts.append(kleene_and([self.judge(part, environment, native, api) for part in wanted]))
            elif key == "not":
                inner = self.judge(wanted, environment, native, api)
                verdicts.append(None if inner is None else not inner)
            else:
                raise AssertionError(key)
        return kleene_and(verdicts)

    def attested(self, environment: dict[str, Any], name: str, native: tuple[str, ...], api: str) -> bool | None:
        """False only when nobody ever attested it; unknown when it lapsed or does not cover the API."""
        answer: bool | None = False
        for entry in environment["attests"]:
            if entry["name"] != name:
                continue
            alive = "until" not in entry or str(entry["until"]) >= self.today
            covers = entry.get("covers", [])
            needed = [api] if api in native else native
            if alive and (not covers or all(one in covers for one in needed)):
                return True
            answer = None
        return answer


def applies(rule: dict[str, Any], workload: str, spec: dict[str, Any], names: set[str], tenant: str, team: str) -> bool:
    names = names | set(spec.get("data", []))
    when = rule.get("when", {})
    if "level" in when and level_of(names) < LEVELS.index(when["level"]):
        return False
    if "data" in when and not names & set(when["data"]):
        return False
    if ("tenants" in when and tenant not in when["tenants"]) or ("teams" in when and team not in when["teams"]):
        return False
    if "regulations" in when and not set(when["regulations"]) & set(spec.get("regulations", [])):
        return False
    return not ("workloads" in when and workload not in when["workloads"])


def kleene_and(values: list[bool | None]) -> bool | None:
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def kleene_or(values: list[bool | None]) -> bool | None:
    if any(value is True for value in values):
        return True
    return None if any(value is None for value in values) else False


def in_region(place: str | None, region: str) -> bool | None:
    if place is None:
        return None
    place_parts, region_parts = place.split("/"), region.split("/")
    if place_parts[: len(region_parts)] == region_parts:
        return True
    return None if region_parts[: len(place_parts)] == place_parts else False


def in_any_region(place: str | None, regions: list[str]) -> bool | None:
    return kleene_or([in_region(place, region) for region in regions])


def operator(environment: dict[str, Any]) -> str | None:
    return environment.get("operator", "self" if environment["kind"] in ("on-prem", "edge") else None)


def as_held(entry: str | dict[str, Any]) -> dict[str, Any]:
    return entry if isinstance(entry, dict) else {"name": entry}


@cache
def pack_rules(name: str) -> list[dict[str, Any]]:
    doc = yaml.load((PACK_FILES / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)
    return [{**rule, "id": f"{name}.{rule['id']}"} for rule in doc["rules"]]
