"""The judge of a drill: what the declared file permits, worked out a second time and in another way.

A drill that asked the interlock whether the interlock was right would prove nothing. So this reads the file as plain
text values, goes through one deployment, one rule and one condition after the other, and keeps no bitsets, no compiled
rules and no memory of earlier answers. It imports nothing that decides. Where the two disagree, one of them is wrong.

Conditions have three answers: yes, no, and maybe where a fact is missing, too coarse, or true of only a part.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Literal, cast

import msgspec
import yaml

Answer = Literal["yes", "no", "maybe"]
Plain = dict[str, Any]
_OPPOSITE: dict[Answer, Answer] = {"yes": "no", "no": "yes", "maybe": "maybe"}

LEVELS = ("public", "internal", "confidential", "restricted")
# The least level of content that carries a tag.
LEAST_LEVEL = {
    "opaque": "internal",
    "personal": "confidential",
    "financial": "confidential",
    "source-code": "confidential",
    "legal": "confidential",
    "government": "confidential",
    "special-category": "restricted",
    "phi": "restricted",
    "pci": "restricted",
    "pci-sad": "restricted",
    "credentials": "restricted",
    "national-id": "restricted",
    "export-controlled": "restricted",
    "children": "restricted",
}
GENERATIVE = ("chat", "responses", "messages")
DEFAULT = "default"


class Ability(msgspec.Struct, frozen=True):
    """What a deployment can do, as the file says or its preset knows."""

    apis: frozenset[str]
    tools: bool
    images: bool


class Case(msgspec.Struct, frozen=True):
    """One call as the drill made it. labels: everything that it carries. onward: what in it goes further."""

    workload: str
    api: str
    labels: frozenset[str]
    tenant: str = ""
    team: str = ""
    pinned: str | None = None
    onward: tuple[str, ...] = ()
    unknown_tool: bool = False
    opaque: bool = False
    tools: bool = False


class Judge:
    """One file on one day. doc: the file as plain values, every scalar as text."""

    def __init__(self, doc: Plain, abilities: dict[str, Ability], today: str) -> None:
        self._abilities = abilities
        self._today = today
        self._environments = mapping(doc, "environments")
        self._vendors = mapping(doc, "vendors")
        self._deployments = mapping(doc, "deployments")
        self._workloads = mapping(doc, "workloads") or {DEFAULT: {}}
        shipped = [rule for name in entries(doc, "packs") for rule in _pack(name)]
        self._rules: list[Plain] = [rule for rule in entries(doc, "rules") + shipped if "allow" in rule]

    @property
    def rule_ids(self) -> list[str]:
        return [rule["id"] for rule in self._rules]

    def floor(self, workload: str) -> frozenset[str]:
        return frozenset(entries(self._workloads[workload], "data"))

    def opaque(self, workload: str) -> frozenset[str]:
        about: Plain = self._workloads[workload]
        return frozenset(entries(about, "opaque") if "opaque" in about else ["confidential"])

    def attempts_max(self, workload: str) -> int:
        return int(mapping(self._workloads[workload], "retries").get("max_attempts", 3))

    def environment_of(self, deployment: str) -> str:
        return self._deployments[deployment]["environment"]

    def forbidding(self, case: Case, deployment: str) -> list[str]:
        """Why a call may not go to a deployment: ids of rules, or a word in brackets. Empty when it may."""
        found: list[str] = []
        if case.unknown_tool and _level(case.labels) >= LEVELS.index("confidential"):
            found.append("(unknown tool)")
        listed = entries(self._workloads[case.workload], "placements")
        if case.pinned is not None and case.pinned != deployment:
            found.append("(another deployment was named)")
        if case.pinned is None and listed and deployment not in listed:
            found.append("(placements)")
        further = bool(case.onward)
        if case.onward == ("store",) and (
            self._deployments[deployment].get("store") == "never"
            or self._holds_by_name(deployment, "zero-retention")
            or case.api not in self._abilities[deployment].apis
        ):
            further = False  # bodies that go there are told not to be stored, or are translated, which leaves it out
        for rule in self._rules:
            if self._applies(rule, case) and not self._lets_pass(rule, case, deployment, further):
                found.append(rule["id"])
        return found

    def applying(self, case: Case) -> list[str]:
        return [rule["id"] for rule in self._rules if self._applies(rule, case)]

    def permitted(self, case: Case) -> list[str]:
        return [name for name in self._deployments if not self.forbidding(case, name)]

    def able(self, case: Case, deployment: str) -> bool:
        """Whether a deployment can serve such a call at all, permitted or not."""
        ability = self._abilities[deployment]
        if case.api in GENERATIVE:
            speaks = any(api in ability.apis for api in GENERATIVE)
        elif case.api == "completions":
            speaks = any(api in ability.apis for api in (*GENERATIVE, "completions"))
        else:
            speaks = case.api in ability.apis
        return speaks and (ability.tools or not case.tools) and (ability.images or not case.opaque)

    # --- rules ---

    def _applies(self, rule: Plain, case: Case) -> bool:
        when = mapping(rule, "when")
        about: Plain = self._workloads[case.workload]
        level: str | None = when.get("level")
        return (
            (level is None or _level(case.labels) >= LEVELS.index(level))
            and _any_of(when.get("data"), case.labels)
            and _any_of(when.get("regulations"), entries(about, "regulations"))
            and _any_of(when.get("workloads"), [case.workload])
            and _any_of(when.get("teams"), [case.team])
            and _any_of(when.get("tenants"), [case.tenant])
        )

    def _lets_pass(self, rule: Plain, case: Case, deployment: str, further: bool) -> bool:
        if self._holds(rule["allow"], case, deployment) != "yes" and not self._transforms(rule, case, deployment):
            return False
        onward: object = rule.get("onward", "deny")
        if not further or onward == "allow":
            return True
        return isinstance(onward, dict) and self._holds(cast(Plain, onward), case, deployment) == "yes"

    def _transforms(self, rule: Plain, case: Case, deployment: str) -> bool:
        """Whether the workload has the guard that the rule counts on, and may go there once that has done its work."""
        transform: object = rule.get("transform")
        beyond: object = None
        if isinstance(transform, dict):
            beyond, transform = cast(Plain, transform).get("allow"), cast(Plain, transform).get("guard")
        listed = entries(self._workloads[case.workload], "guards")
        if not any((cast(Plain, one)["name"] if isinstance(one, dict) else one) == transform for one in listed):
            return False
        return beyond is None or self._holds(cast(Plain, beyond), case, deployment) == "yes"

    # --- conditions ---

    def _holds(self, condition: Plain, case: Case, deployment: str) -> Answer:
        """Every part of a condition has to hold."""
        return _worst(self._part(key, wanted, case, deployment) for key, wanted in condition.items())

    def _part(self, key: str, wanted: Any, case: Case, deployment: str) -> Answer:
        place = self._environments[self.environment_of(deployment)]
        region: str | None = place.get("region")
        stored: str | None = place.get("storage_region") or region
        if key == "not":
            return _OPPOSITE[self._holds(wanted, case, deployment)]
        if key == "any":
            return _best(self._holds(part, case, deployment) for part in wanted)
        if key == "all":
            return _worst(self._holds(part, case, deployment) for part in wanted)
        if key == "kind":
            return "yes" if place["kind"] in wanted else "no"
        if key == "operator":
            who = _operator(place)
            return "maybe" if not who else "yes" if who in [name.casefold() for name in wanted] else "no"
        if key == "attests":
            return _worst(self._attests(name, case.api, deployment) for name in wanted)
        if key == "region":
            processing, storage = _lies_in(region, wanted), _lies_in(stored, wanted)
            return processing if processing == storage else "maybe"
        if key == "storage_region":
            return _lies_in(stored, wanted)
        if key == "jurisdiction":
            return _lies_in(place.get("jurisdiction"), wanted)
        return "no"  # loading refuses other keys; were one to get here, it would open nothing

    def _attests(self, name: str, api: str, deployment: str) -> Answer:
        held = [entry for entry in self._held(deployment) if entry["name"] == name]
        if not held:
            return "no"
        speaks = self._abilities[deployment].apis
        carried_by = [api] if api in speaks else sorted(speaks)
        for entry in held:
            until, covers = entry.get("until"), entries(entry, "covers")
            if (until is None or self._today <= until) and (not covers or all(one in covers for one in carried_by)):
                return "yes"
        return "maybe"

    def _holds_by_name(self, deployment: str, name: str) -> bool:
        return any(entry["name"] == name for entry in self._held(deployment))

    def _held(self, deployment: str) -> list[Plain]:
        """What an environment says of itself, and what the register says of its operator under other names."""
        name = self.environment_of(deployment)
        place = self._environments[name]
        own = [_entry(each) for each in entries(place, "attests")]
        said = {entry["name"] for entry in own}
        who = _operator(place)
        for vendor, about in self._vendors.items():
            if who and vendor.casefold() == who:
                for entry in map(_entry, entries(about, "attests")):
                    where = entries(entry, "environments") or [name]
                    if entry["name"] not in said and name in where:
                        own.append(entry)
        return own


def covers(labels: Iterable[str], least: Iterable[str]) -> bool:
    """Whether every tag of `least` is there, at its level or a higher one."""
    there, due = set(labels), set(least)
    return due - set(LEVELS) <= there and _level(due) <= _level(there)


def today() -> str:
    """The UTC date, ISO."""
    return datetime.now(UTC).date().isoformat()


def entries(about: Plain, key: str) -> list[Any]:
    """A list of the file, empty where it says nothing."""
    return list(about.get(key) or ())


def mapping(about: Plain, key: str) -> Plain:
    """A section of the file, empty where it says nothing."""
    return dict(about.get(key) or {})


def _pack(name: str) -> list[Plain]:
    """The rules of a pack that ships, their ids as decisions name them."""
    text = (files("signalbox.policy") / "packs" / f"{name}.yaml").read_text(encoding="utf-8")
    doc: Plain = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  (every scalar a text; makes nothing else)
    return [{**rule, "id": f"{name}.{rule['id']}"} for rule in doc["rules"]]


def _any_of(wanted: list[str] | None, there: Iterable[str]) -> bool:
    return not wanted or any(one in wanted for one in there)


def _level(labels: Iterable[str]) -> int:
    return max([0, *(LEVELS.index(LEAST_LEVEL.get(label, label)) for label in labels)])


def _operator(place: Plain) -> str:
    own = "self" if place["kind"] in ("on-prem", "edge") else ""
    return (place.get("operator") or own).casefold()


def _entry(each: str | Plain) -> Plain:
    return {"name": each} if isinstance(each, str) else each


def _lies_in(place: str | None, regions: list[str]) -> Answer:
    return _best(_within(place, region) for region in regions)


def _within(place: str | None, region: str) -> Answer:
    if not place:
        return "maybe"
    here, wide = place.split("/"), region.split("/")
    if len(here) < len(wide):
        return "maybe" if wide[: len(here)] == here else "no"
    return "yes" if here[: len(wide)] == wide else "no"


def _worst(answers: Iterable[Answer]) -> Answer:
    seen = set(answers)
    return "no" if "no" in seen else "maybe" if "maybe" in seen else "yes"


def _best(answers: Iterable[Answer]) -> Answer:
    seen = set(answers)
    return "yes" if "yes" in seen else "maybe" if "maybe" in seen else "no"
