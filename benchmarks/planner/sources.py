"""The shipped catalogue beside the data it was taken from: which figures agree, and which could not be compared.

    python -m benchmarks.planner.sources --data DIR

`source`: the figures are those of the cited source itself (its own files are in the folder). `elsewhere`: they agree
with another publication in the folder, and nobody read the cited page. `no`: neither. An entry of the catalogue that
claims more than is found here is told; one that `differs` may claim nothing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.planner.points import arguments, folder
from signalbox.planner.catalogue.entries import Offer
from signalbox.planner.catalogue.hugging_face import from_config
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.specs import Citation, GpuSpec, ModelSpec, PlannerError

RANK = {"no": 0, "elsewhere": 1, "source": 2}
GEOMETRY = ("layers", "hidden_size", "attention", "experts", "experts_per_token", "context_tokens")


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(newline="")))


def near(one: float, other: float, part: float = 0.011) -> bool:
    return abs(one - other) <= part * max(abs(one), abs(other))


def offers(data: Path) -> Iterator[tuple[Offer, str]]:
    aws = {(row["instance"], row["region"]): row for row in rows(data / "aws_gpu_prices.csv")}
    small = {(row["provider"], row["instance"], row["region"]): row for row in rows(data / "neocloud_gpu_prices.csv")}
    clouds = json.loads((data / "cloud_prices.json").read_text())
    listed = {
        (row["cloud"], row["instance"], row["region"]): row["price_per_hour"]
        for rows_of in clouds.values()
        if isinstance(rows_of, list)
        for row in rows_of
        if "price_per_hour" in row
    }
    for offer in shipped().offers:
        usd = float(offer.usd_per_hour)
        found = "no"
        if "tsaol/aws-gpu" in offer.source.url:
            row = aws.get((offer.instance, offer.vendor_region), {})
            column = "usd_per_hour_reserved_1y" if offer.commitment == "reserved-1y" else "usd_per_hour_ondemand"
            found = "source" if row.get(column) and near(float(row[column]), usd, 1e-6) else "differs"
        elif "skypilot" in offer.source.url:
            row = small.get((offer.vendor, offer.instance, offer.vendor_region), {})
            row = row or next((each for key, each in small.items() if key[:2] == (offer.vendor, offer.instance)), {})
            column = "usd_per_hour_spot" if offer.commitment == "spot" else "usd_per_hour_ondemand"
            found = "source" if row.get(column) and near(float(row[column]), usd, 1e-6) else "differs"
        elif (price := listed.get((offer.vendor, offer.instance, offer.vendor_region))) is not None:
            found = "elsewhere" if near(price, usd, 1e-6) else "differs"
        yield offer, found


def models(data: Path) -> Iterator[tuple[ModelSpec, str]]:
    configs = {path.name.removesuffix("_config.json").lower(): path for path in (data / "models").glob("*.json")}
    for model in shipped().models:
        names = [model.name, *model.aliases]
        path = next((configs[key] for name in names if (key := name.replace("/", "--").lower()) in configs), None)
        if path is None:
            yield model, "no"
            continue
        try:
            read = from_config(path.read_bytes(), model.name, Citation(url=str(path), as_of="2026-11-21"))
        except PlannerError:
            yield model, "no"
            continue
        yield model, "source" if all(getattr(read, name) == getattr(model, name) for name in GEOMETRY) else "differs"


def gpus(data: Path) -> Iterator[tuple[GpuSpec, str]]:
    """The makers' own pages are not in the folder; two other publications of the same figures are."""
    listed: list[dict[str, Any]] = json.loads((data / "hardware.json").read_text())["gpus"]
    for gpu in shipped().gpus:
        names = [gpu.name, *gpu.aliases]
        paths = [data / "gpus" / f"{name.replace('-', '_')}.yaml" for name in names]
        path = next((each for each in paths if each.is_file()), None)
        words = [name.replace("-", " ").lower() for name in names]
        row = next(
            (each for each in listed for name in words if f"{each['name'].lower()} ".startswith(f"{name} ")), None
        )
        ours = (gpu.memory_bytes, gpu.bandwidth_bytes_s, gpu.flops_16bit, gpu.watts)
        if path is not None:
            told: dict[str, Any] = yaml.safe_load(path.read_text())["gpu"]
            theirs = (told["mem_capacity"], told["mem_bw"], told["bfloat16_tc_flops"], told["power"])
        elif row is not None:
            bandwidth, flops = row["bandwidth_gbps"] * 1e9, (row["fp16_tflops"] or 0.0) * 1e12
            theirs = (gpu.memory_bytes, bandwidth, flops, row["tdp_watts"] or 0.0)
        else:
            yield gpu, "no"
            continue
        # Memory is told in GB here and in GiB there.
        parts = (0.08, 0.011, 0.011, 0.011)
        same = all(near(one, float(other), part) for one, other, part in zip(ours, theirs, parts, strict=True))
        yield gpu, "elsewhere" if same else "differs"


def ceilings(data: Path) -> Iterator[tuple[Any, str]]:
    results = rows(data / "mlperf_v5.1_llm.csv")
    known = {(row["ID"], round(float(row["per_acc"]), 2)) for row in results if row["per_acc"]}
    for one in shipped().ceilings:
        yield one, "source" if (one.result, round(one.output_tokens_per_s, 2)) in known else "differs"


def main() -> None:
    data = folder(arguments(__doc__ or "").parse_args())
    sections = {"models": models(data), "gpus": gpus(data), "offers": offers(data), "ceilings": ceilings(data)}
    for section, found in sections.items():
        for entry, what in found:
            stated = entry.source.checked
            note = "  claims more" if RANK[stated] > RANK.get(what, 0) else ""
            name = " ".join(map(str, getattr(entry, "key", None) or (getattr(entry, "name", None) or entry.result,)))
            print(f"{section}  {name}  {what}{note}")


if __name__ == "__main__":
    main()
