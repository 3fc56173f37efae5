"""Asks the six questions a leader asks and writes a workload file from the answers. Flags answer beforehand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import yaml

from signalbox.cli.options import add_json, write
from signalbox.config.schema import PACKS
from signalbox.core.errors import ConfigError
from signalbox.core.labels import LEVELS, TAGS
from signalbox.planner.quantity import in_unit
from signalbox.planner.reading import read_plan_file

# Question, flag, what is taken when nothing is answered, and what an answer may be.
QUESTIONS: tuple[tuple[str, str, str, str], ...] = (
    (
        "data",
        "1 Data sensitivity: which classes does the content have?",
        "internal",
        f"any of {', '.join((*LEVELS, *TAGS))}, with commas",
    ),
    ("performance", "2 Performance: how soon must an answer begin (ms)? `wait` if a day is fine", "1500",
     "a number"),
    ("customisation", "3 Customisation: how good must answers be (0 to 1), and does it need your own data?", "0.75",
     "a number from 0 to 1, and `own data` behind it if so"),
    ("cost", "4 Cost: how many conversations a day?", "1000", "a number such as 50k"),
    ("team", "5 Team: how many engineers may run models?", "0", "a number"),
    ("regulation", "6 Regulation: which apply?", "none", f"any of {', '.join(PACKS)}, with commas, or none"),
)  # fmt: skip

START = """
environments:
  provider: {kind: cloud, region: us, attests: [dpa, no-training]}
  gpu-cloud: {kind: private-cloud, region: eu/de, operator: your GPU vendor, attests: [dpa, zero-retention]}
options:
  small-api: {environment: provider, kind: cloud-api, provider: openai, model: gpt-4o-mini, ttft_p95_ms: 900,
              tpot_ms: 15, quality: {general: 0.78}}
  large-api: {environment: provider, kind: cloud-api, provider: openai, model: gpt-4o, ttft_p95_ms: 1200, tpot_ms: 20,
              quality: {general: 0.86}}
  llama-70b: {environment: gpu-cloud, kind: rented, model: llama-3.3-70b, gpu: h100-sxm, quantisation: fp8,
              gpu_usd_per_hour: $3.29/h, quality: {general: 0.80}}
  qwen-8b: {environment: gpu-cloud, kind: rented, model: qwen3-8b, gpu: l40s, quantisation: fp8,
            gpu_usd_per_hour: $1.90/h, quality: {general: 0.74}}
"""
# With your own data: a small model that is tuned on it and retrieves from it.
TUNED = """  qwen-8b-tuned: {environment: gpu-cloud, kind: rented, model: qwen3-8b, gpu: l40s, quantisation: fp8,
                  gpu_usd_per_hour: $1.90/h, quality: {general: 0.82},
                  augment: {fine_tune_usd: $4000, fine_tunes_per_year: 4, rag_input_tokens: 800,
                            rag_usd_per_month: 300}}
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("workloads.yaml"), help="the file to write (%(default)s)")
    parser.add_argument("--name", default="first-workload", help="of the workload (%(default)s)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    for flag, question, otherwise, form in QUESTIONS:
        parser.add_argument(f"--{flag}", help=f"{question[2:].rstrip('?')}: {form} (default: {otherwise})")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    if options.out.exists() and not options.force:
        print(f"{options.out} is there already. Pass --force to write over it, or --out.", file=sys.stderr)
        return 2
    ask = _ask if sys.stdin.isatty() and not options.json else _otherwise
    given: dict[str, str] = {}
    for flag, question, otherwise, form in QUESTIONS:
        stated: str | None = getattr(options, flag)
        given[flag] = stated if stated is not None else ask(question, otherwise, form)
    text = workload_file(options.name, given)
    read_plan_file(text.encode(), str(options.out))
    write(options.out, text.encode())
    if options.json:
        print(msgspec.json.encode({"written": str(options.out), "answers": given}).decode())
    else:
        print(f"Written: {options.out}. Put in your own prices, scores and volumes; then: signalbox plan {options.out}")
    return 0


Asking = Callable[[str, str, str], str]


def _ask(question: str, otherwise: str, form: str) -> str:
    try:
        return input(f"{question}\n  {form} [{otherwise}]: ").strip() or otherwise
    except EOFError:
        return otherwise


def _otherwise(question: str, otherwise: str, form: str) -> str:
    del question, form
    return otherwise


def workload_file(name: str, given: dict[str, str]) -> str:
    """The text of a workload file. Raises ConfigError with every answer that cannot be meant."""
    problems: list[str] = []
    data = _words(given["data"], frozenset((*LEVELS, *TAGS)), "data", problems)
    packs = _words(given["regulation"], frozenset(PACKS), "regulation", problems)
    calls = _number(given["cost"], "per day", "cost", problems)
    people = _number(given["team"], "FTE", "team", problems)
    wanted, own, _ = given["customisation"].partition("own data")
    quality = _number(wanted.strip(" ,;+"), "", "customisation", problems)
    if quality > 1:
        problems.append(f"--customisation: {given['customisation']!r} is no score. Write 0 to 1.")
    wait = given["performance"].strip().lower() == "wait"
    first = 0.0 if wait else _number(given["performance"], "ms", "performance", problems)
    if problems:
        raise ConfigError(problems)
    workload = {
        "volume": {"conversations_per_day": calls, "turns": 3, "prompt_tokens": 400, "input_tokens": 150,
                   "output_tokens": 250},
        "arrival": {"profile": "office"},
        "targets": {"max_delay_h": 24} if wait else {"ttft_p95_ms": first},
        "quality": {"eval": "general", "minimum": quality},
        "data": data,
        "regulations": packs,
    }  # fmt: skip
    head = {"name": name, "packs": packs, "organisation": {"fte_available": people}}
    tuned = TUNED if own else ""
    start = "\n# Where it could run. Replace these: prices, scores and latencies are yours to measure." + START + tuned
    return (
        "# Written by `signalbox plan init`. Every number may say where it comes from:\n"
        "# {value: 800, provenance: measured, source: load test of May}\n"
        + yaml.safe_dump(head, sort_keys=False)
        + start
        + yaml.safe_dump({"workloads": {name: workload}}, sort_keys=False)
    )


def _words(text: str, known: frozenset[str], flag: str, problems: list[str]) -> list[str]:
    words = [each.strip() for each in text.split(",") if each.strip() and each.strip() != "none"]
    problems += [
        f"--{flag}: {each!r} is not known. Use {', '.join(sorted(known))}." for each in words if each not in known
    ]
    return [each for each in words if each in known]


def _number(text: str, unit: str, flag: str, problems: list[str]) -> float:
    number = in_unit(text, unit)
    if number is None:
        problems.append(f"--{flag}: {text!r} is no number here. Write one such as 800 or 50k.")
    return number or 0.0
