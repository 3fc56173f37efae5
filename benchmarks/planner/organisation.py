"""A made-up organisation: 200 workloads over 30 options, drawn from a seed. What the solver's figures are about.

Volumes are log-normal over four orders of magnitude; half of the workloads stay in the EU; a third carry data that no
cloud API may see. Each belongs to one of eight families with an evaluation of its own, and an evaluation has scored two
options in five: nobody tests everything on everything, and what was not tested does not count.
"""

from __future__ import annotations

import math
import random
from typing import Any

import yaml

FAMILIES = 8
KNOWN = 0.4

APIS = (
    ("frontier", 0.90, 2.50, 10.0, 1100, 18),
    ("large", 0.86, 3.00, 15.0, 1200, 20),
    ("medium", 0.80, 0.40, 1.60, 800, 12),
    ("small", 0.74, 0.15, 0.60, 700, 10),
    ("tiny", 0.68, 0.10, 0.40, 600, 8),
)
MODELS = (
    ("llama-3.3-70b", 0.82, "h100-sxm", 4),
    ("qwen3-32b", 0.78, "h100-sxm", 1),
    ("qwen3-14b", 0.74, "l40s", 1),
    ("qwen3-8b", 0.70, "l40s", 1),
)
USD_HOUR = {"h100-sxm": 2.9, "l40s": 1.7}
USD_GPU = {"h100-sxm": 34_000, "l40s": 13_000}


def organisation(seed: int, workloads: int = 200, options: int = 30) -> bytes:
    """A workload file as text."""
    chance = random.Random(seed)
    document: dict[str, Any] = {
        "name": f"organisation {seed}",
        "organisation": {
            "fte_available": round(chance.uniform(2, 8), 2),
            "capex_usd_max": chance.choice([500_000, 2_000_000]),
            "skills": ["gpu-serving"],
        },
        "environments": {
            "api-us": {"kind": "cloud", "region": "us", "operator": "A"},
            "api-eu": {"kind": "cloud", "region": "eu/ie", "operator": "B"},
            "managed-eu": {"kind": "private-cloud", "region": "eu/de", "operator": "C"},
            "gpu-us": {"kind": "private-cloud", "region": "us", "operator": "D"},
            "gpu-eu": {"kind": "private-cloud", "region": "eu/fi", "operator": "E"},
            "own": {"kind": "on-prem", "region": "eu/de"},
        },
        "rules": [{"id": "restricted-inside", "when": {"level": "restricted"}, "allow": {"not": {"kind": ["cloud"]}}}],
    }
    found = _options(chance, options)
    document["options"] = dict(found)
    document["workloads"] = {f"w{index:03d}": _workload(chance) for index in range(workloads)}
    return yaml.safe_dump(document, sort_keys=False).encode()


def _options(chance: random.Random, count: int) -> list[tuple[str, dict[str, Any]]]:
    rows: list[tuple[str, dict[str, Any]]] = []
    for place in ("api-us", "api-eu"):
        for name, score, low, high, first, each in APIS:
            factor = 1.0 if place == "api-us" else 1.1
            rows.append(
                (f"{name}-{place}", _api(chance, place, "cloud-api", score, low * factor, high * factor, first, each))
            )
    for name, score, low, high, first, each in APIS[1:4]:
        rows.append(
            (f"{name}-managed", _api(chance, "managed-eu", "managed", score, low * 1.3, high * 1.3, first, each))
        )
    rows.append(("small-batch", _api(chance, "api-us", "batch-api", 0.74, 0.15, 0.60, 0, 0)))
    for model, score, gpu, gpus in MODELS:
        for place, kind, lot in (
            ("gpu-us", "rented", gpus),
            ("gpu-eu", "rented", 8),
            ("own", "owned", gpus),
            ("gpu-eu", "rented", gpus),
        ):
            option: dict[str, Any] = {
                "environment": place, "kind": kind, "model": model, "gpu": gpu, "gpus_per_replica": gpus,
                "lot_gpus": max(lot, gpus), "quantisation": "fp8", "quality": _scores(chance, score), "lots_max": 64,
            }  # fmt: skip
            if kind == "owned":
                option["gpu_usd"] = round(USD_GPU[gpu] * chance.uniform(0.9, 1.2))
            else:
                hourly = USD_HOUR[gpu] * chance.uniform(0.8, 1.3)
                option |= {"gpu_usd_per_hour": round(hourly, 3), "gpu_usd_per_hour_1y": round(hourly * 0.65, 3)}
                option["autoscale"] = chance.random() < 0.3
            rows.append((f"{model}-{place}-{option['lot_gpus']}{kind[0]}{len(rows)}", option))
    return rows[:count]


def _api(
    chance: random.Random, place: str, kind: str, score: float, low: float, high: float, first: float, each: float
) -> dict[str, Any]:
    option: dict[str, Any] = {
        "environment": place, "kind": kind, "model": "priced", "quality": _scores(chance, score),
        "price": {"input_mtok": round(low, 4), "output_mtok": round(high, 4), "cache_read_mtok": round(low / 4, 4)},
    }  # fmt: skip
    if first:
        option |= {"ttft_p95_ms": first, "tpot_ms": each}
    return option


def _scores(chance: random.Random, score: float) -> dict[str, float]:
    return {
        f"family-{family}": round(min(1.0, score + chance.gauss(0, 0.02)), 3)
        for family in range(FAMILIES)
        if chance.random() < KNOWN
    }


def _workload(chance: random.Random) -> dict[str, Any]:
    delay = chance.choices([0, 14, 24], [0.85, 0.08, 0.07])[0]
    minimum = chance.choices([0.0, 0.60, 0.68, 0.74, 0.78, 0.82], [0.15, 0.15, 0.25, 0.2, 0.15, 0.1])[0]
    row: dict[str, Any] = {
        "volume": {
            "requests_per_day": round(math.exp(chance.gauss(8.5, 1.9))) + 1,
            "prompt_tokens": chance.choice([0, 300, 800, 2000]),
            "input_tokens": round(math.exp(chance.gauss(6.3, 0.8))) + 1,
            "output_tokens": round(math.exp(chance.gauss(5.4, 0.7))) + 1,
            "history": False,
        },
        "arrival": {"profile": chance.choice(["flat", "office", "consumer", "night"])},
        "targets": {"max_delay_h": delay} if delay else {"tpot_ms": chance.choice([40, 60, 100])},
        "quality": {"eval": f"family-{chance.randrange(FAMILIES)}", "minimum": minimum},
        "data": ["restricted"] if chance.random() < 0.33 else ["internal"],
    }
    if chance.random() < 0.5:
        row["residency"] = ["eu"]
    return row
