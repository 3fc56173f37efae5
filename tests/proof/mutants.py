"""Defects that would let something escape, each a change of the product's text, and what finds them.

A proof that finds nothing is worth what it would have found. Each mutant is a copy of the product with one promise
broken, under which the run of proof/inprocess.py has to report. Where two layers hold the same promise (the router
offers only what is permitted, and the interlock asks again) a mutant breaks both.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
ATTEMPTS = 12_000
LIMIT_S = 120.0
_SUMMARY = re.compile(r"(\d+) escapes, (\d+) refused but permitted, (\d+) other")


@dataclass(frozen=True)
class Edit:
    """One change of one file under src/signalbox."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    name: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Verdict:
    """found: how many findings there were; None when the run did not end by itself, with `said` telling why."""

    mutant: str
    found: int | None
    said: str


INTERLOCK, RULES, PREDICATES = "policy/interlock.py", "policy/rules.py", "policy/predicates.py"
RULE_INDEX = "policy/rule_index.py"
CLASSIFY, ACCESS, ROUTER = "policy/classify.py", "policy/access.py", "routing/router.py"
ASKED = (
    "        if not self._permitted(call, labels) >> deployment.index & 1:\n"
    "            raise self._forbidden(call, deployment, labels)\n"
)
LISTED = "        if not workload.placements:\n            return self._snapshot.deployments\n"
OFFERED = "        able = [d for d in self._listed(workload) if permitted >> d.index & 1 and serves(d, needs)]\n"


def one(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, (Edit(file, old, new),))


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "permit skipped on fallback",
        (
            Edit(INTERLOCK, ASKED, ASKED.replace("if not", "if call.attempts < 2 and not")),
            Edit(ROUTER, OFFERED, OFFERED + "        able += [d for d in self._listed(workload)"
                 " if not permitted >> d.index & 1 and serves(d, needs)]\n"),
        ),
    ),
    one(
        "interlock of a stale snapshot",
        "gateway/app.py",
        "        self.stages = stages\n        self.limits = limits\n        self.watch",
        "        self.stages = msgspec.structs.replace(stages, interlock=self.stages.interlock)\n"
        "        self.limits = limits\n        self.watch",
    ),
    one(
        "alias resolved after the rules",
        ACCESS,
        '    if kind == "workload":\n        return _workload(snapshot, principal, name, header=False), None\n',
        '    if kind == "workload":\n'
        "        if name != model:\n            return _default(snapshot, principal), None\n"
        "        return _workload(snapshot, principal, name, header=False), None\n",
    ),
    Mutant(
        "placements ignored",
        (
            Edit(ROUTER, LISTED, "        if True:\n            return self._snapshot.deployments\n"),
            Edit(
                RULE_INDEX,
                "    if not workload.placements:\n        return (1 << deployments) - 1\n",
                "    if True:\n        return (1 << deployments) - 1\n",
            ),
        ),
    ),
    one(
        "onward ignored",
        INTERLOCK,
        "        onward, placed = bool(envelope.onward), call.pinned is None\n",
        "        onward, placed = False, call.pinned is None\n",
    ),
    one(
        "region without a boundary",
        PREDICATES,
        'inside = place == region or place.startswith(f"{region}/")',
        "inside = place.startswith(region)",
    ),
    one("expired attestation accepted", PREDICATES, "if held.until is not None and self._today >", "if False and 0 >"),
    one(
        "attestation a day too long",
        PREDICATES,
        "self._today > date.fromisoformat(held.until)",
        "(self._today - date.fromisoformat(held.until)).days > 1",
    ),
    one("labels lowered by header", CLASSIFY, "                labels |= more\n", "                labels = more\n"),
    one(
        "unknown label ignored",
        CLASSIFY,
        "        return labels_of(names)\n",
        "        from signalbox.core.labels import LEVELS, TAGS\n"
        "        return labels_of([name for name in names if name in TAGS or name in LEVELS])\n",
    ),
    one("opaque ignored", CLASSIFY, "            opaque = workload.opaque\n", "            opaque = NONE\n"),
    one("labels of the key ignored", CLASSIFY, '(("key", of_key),', '(("key", NONE),'),
    one("labels of the workload ignored", CLASSIFY, "labels = workload.labels\n", "labels = NONE\n"),
    one("content not read", CLASSIFY, "            labels |= content.labels\n", ""),
    one(
        "unknown tools one level too late",
        INTERLOCK,
        "bool(call.envelope.unknown_tools) and labels.level >= CONFIDENTIAL",
        "bool(call.envelope.unknown_tools) and labels.level > CONFIDENTIAL",
    ),
    one(
        "told to store under zero retention",
        "pipeline/attempt.py",
        "stages.interlock.writes_no_store(deployment)",
        "False",
    ),
    one(
        "answers remembered without onward",
        RULES,
        "    key = (workload.name, labels, onward, api, placed, caller, guard)\n",
        "    key = (workload.name, labels, False, api, placed, caller, guard)\n",
    ),
    one(
        "answers remembered without the API",
        RULES,
        "    key = (workload.name, labels, onward, api, placed, caller, guard)\n",
        '    key = (workload.name, labels, onward, "", placed, caller, guard)\n',
    ),
    one(
        "answers remembered without the caller",
        RULES,
        "    key = (workload.name, labels, onward, api, placed, caller, guard)\n",
        '    key = (workload.name, labels, onward, api, placed, ("", ""), guard)\n',
    ),
    one(
        "conversations forgotten",
        "policy/sticky.py",
        "        return entry if entry.expires_s > now_s else None\n",
        "        return None\n",
    ),
    one("APIs that an attestation covers ignored", PREDICATES, "if not held.covers:", "if True:"),
    one(
        "storage region ignored",
        PREDICATES,
        "parts.append((here & there, here_maybe | there_maybe))",
        "parts.append((here, here_maybe))",
    ),
    one(
        "what is unknown satisfies a negation",
        PREDICATES,
        "parts.append((self.everything & ~maybe, self.everything & ~sure))",
        "parts.append((self.everything & ~sure, self.everything & ~maybe))",
    ),
    one(
        "register speaks over the environment",
        "policy/register.py",
        "if held.name not in stated and _is_for(held, environment)]",
        "if _is_for(held, environment)]",
    ),
    Mutant(
        "a granted deployment needs no permission",
        (
            Edit(ROUTER, "good = permitted >> pinned.index & 1 and serves", "good = serves"),
            Edit(INTERLOCK, ASKED, ASKED.replace("if not", "if call.pinned is None and not")),
        ),
    ),
    one(
        "a deployment that nobody granted",
        ACCESS,
        "    if not may_name(principal, name):\n",
        "    if not may_name(principal, name) and False:\n",
    ),
    one(
        "rules of one level too high",
        RULE_INDEX,
        "at >= rule.level",
        "(at > rule.level or not rule.level)",
    ),
    one(
        "recorded too late",
        "pipeline/attempt.py",
        "    _open(this, permit, stages)\n",
        "    asyncio.get_running_loop().call_soon(_open, this, permit, stages)\n",
    ),
    one(
        "gives up after the first failure",
        "pipeline/pursue.py",
        "pursuit.failed(failure)",
        "break",
    ),
    one("loses a deployment", ROUTER, "        return Decision((*ranked, *fit.rest),",
        "        return Decision((*(ranked[:-1] or ranked[:1]), *fit.rest),"),
)  # fmt: skip
# What every run of the tests tries; the rest is for `make proof`.
FEW = ("permit skipped on fallback", "interlock of a stale snapshot", "alias resolved after the rules",
       "expired attestation accepted", "onward ignored", "labels lowered by header")  # fmt: skip


class Outdated(Exception):
    """The product no longer has the text that a mutant changes."""


def stale() -> list[str]:
    """Mutants that no longer apply: `name: file`."""
    found: list[str] = []
    for mutant in MUTANTS:
        for edit in mutant.edits:
            if (SOURCE / "signalbox" / edit.file).read_text().count(edit.old) != 1:
                found.append(f"{mutant.name}: {edit.file} has not exactly one {edit.old!r}")
    return found


@contextmanager
def broken(mutant: Mutant) -> Iterator[dict[str, str]]:
    """A copy of the product with this defect, as the environment of processes that are to run it."""
    with TemporaryDirectory(prefix="mutant-") as folder:
        # Compiled files come along with their times, so that only what changed is compiled anew.
        shutil.copytree(SOURCE / "signalbox", Path(folder) / "signalbox")
        for edit in mutant.edits:
            path = Path(folder) / "signalbox" / edit.file
            text = path.read_text()
            if text.count(edit.old) != 1:
                raise Outdated(f"{mutant.name}: bring it up to date with {edit.file}")
            path.write_text(text.replace(edit.old, edit.new))
        yield {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT / 'tests'}", "PROOF_OF": folder}


def try_out(mutant: Mutant, *, attempts: int = ATTEMPTS, seed: int = 1) -> Verdict:
    """Runs the proof on a copy of the product with this defect."""
    words = [sys.executable, "-m", "proof.inprocess", "--attempts", str(attempts), "--seed", str(seed), "--stop"]
    with broken(mutant) as environ:
        try:
            done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return Verdict(mutant.name, None, f"it did not end within {LIMIT_S} s")
    summary = _SUMMARY.search(done.stdout)
    if summary is None:
        return Verdict(mutant.name, None, done.stderr[-2000:])
    return Verdict(mutant.name, sum(map(int, summary.groups())), done.stdout.partition("\n")[0])


def try_all(mutants: tuple[Mutant, ...] = MUTANTS, *, at_once: int = 2) -> Iterator[Verdict]:
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(try_out, mutants)


def main() -> int:
    """Tries every mutant; 1 when one is not found, or one no longer applies."""
    wanted = set(sys.argv[1:])
    chosen = tuple(mutant for mutant in MUTANTS if not wanted or mutant.name in wanted)
    missed = 0
    for verdict in try_all(chosen):
        missed += not verdict.found
        mark = "found" if verdict.found else "NOT FOUND"
        print(f"{mark:9}  {verdict.mutant}: {verdict.said[:160]}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} mutants found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
