"""The measured serving points that predictions are fitted on and judged by, read from a folder that is not ours.

The table is AIConfigurator's `silicon_sample.csv` (Apache-2.0), most of it InferenceX runs; its licence lets anybody
fetch it, we do not ship it. Columns used: backend, model_path, system, precision, isl, osl, batch_size,
tp_size, attention_dp_size, moe_tp_size, moe_ep_size, silicon_ttft_ms, silicon_tpot_ms.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from signalbox.planner.calibration import Point
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.specs import Engine, LengthMix, PlannerError, Quantisation, ServingConfig

FILE = "serving_points_train.csv"

# InferenceX draws lengths uniformly between 0.8 and 1.0 of the nominal ones.
DRAWN = 0.9

# The runs say how many requests were in flight; their engines were started to take them all.
SEQUENCES_MAX = 4096


class Observation(msgspec.Struct, frozen=True):
    """A point and how it was grouped. group: architecture and accelerator; no fit may see a group that it is judged
    on, so models that differ in weights only (DeepSeek R1 and V3) are one. nominal: lengths as labelled.
    """

    point: Point
    nominal: tuple[int, int]

    @property
    def architecture(self) -> str:
        return self.point.model.filed_under

    @property
    def gpu(self) -> str:
        return self.point.gpu.name

    @property
    def group(self) -> tuple[str, str]:
        return self.architecture, self.gpu


class Loaded(msgspec.Struct, frozen=True):
    """observations: distinct ones; rows: of the table; covered: rows that the planner can predict."""

    observations: list[Observation]
    rows: int
    covered: int


def arguments(description: str) -> argparse.ArgumentParser:
    """The options of every script here."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("PLANNER_DATA"),
        help="the folder (or PLANNER_DATA in the environment)",
    )
    parser.add_argument("--seed", type=int, default=20261120, help="of everything that is drawn (default: %(default)s)")
    return parser


def folder(options: argparse.Namespace) -> Path:
    if options.data is None:
        raise SystemExit("say where the data is: --data DIR, or PLANNER_DATA=DIR")
    if not options.data.is_dir():
        raise SystemExit(f"{options.data} is no folder")
    return options.data


def load(path: Path) -> Loaded:
    """Every distinct row of the table as a point."""
    seen: set[object] = set()
    observations: list[Observation] = []
    rows = covered = 0
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            rows += 1
            try:
                found = _observation(row)
            except PlannerError as error:
                print(f"not covered: {row['id']}: {error}")
                continue
            covered += 1
            point = found.point
            # The same run is listed up to three times, under labels that differ in how ranks are counted.
            same = (point.model.name, found.gpu, point.config, found.nominal, point.concurrency, round(point.tpot_s, 9))
            if same not in seen:
                seen.add(same)
                observations.append(found)
    return Loaded(observations, rows, covered)


def _observation(row: dict[str, str]) -> Observation:
    catalogue = shipped()
    model, gpu = catalogue.model(row["model_path"]), catalogue.gpu(row["system"])
    engine: Engine = msgspec.convert(row["backend"], Engine)
    quantisation: Quantisation = msgspec.convert(row["precision"] or "bf16", Quantisation)
    tensor, data, expert_parallel = _ranks(row)
    nominal = int(row["isl"]), int(row["osl"])
    drawn = 1.0 if "gap-analysis/data" in row["silicon_data_source"] else DRAWN
    eight_bit_cache = quantisation == "fp4" or (quantisation == "fp8" and engine != "sglang")
    point = Point(
        model=model,
        gpu=gpu,
        config=ServingConfig(
            engine=engine,
            quantisation=quantisation,
            tensor_parallel=tensor,
            data_parallel=data,
            expert_parallel=expert_parallel,
            kv_bits=8 if eight_bit_cache else 16,
            sequences_max=SEQUENCES_MAX,
        ),
        mix=LengthMix(input_tokens=drawn * nominal[0], output_tokens=drawn * nominal[1]),
        concurrency=float(int(row["batch_size"]) * int(row["attention_dp_size"] or 1)),
        tpot_s=float(row["silicon_tpot_ms"]) / 1e3,
        ttft_s=float(row["silicon_ttft_ms"]) / 1e3,
    )
    return Observation(point, nominal)


def _ranks(row: dict[str, str]) -> tuple[int, int, bool]:
    """Tensor and data parallel ranks, and whether experts are whole. Two labels count ranks twice, as the same times
    under other labels show: 16 or 64 ranks with experts split 4x4 or 8x8 are 4 or 8; and as many data as tensor
    parallel ranks are the latter alone.
    """
    tensor, data = int(row["tp_size"]), int(row["attention_dp_size"] or 1)
    split, whole = max(int(row["moe_tp_size"] or 1), 1), max(int(row["moe_ep_size"] or 1), 1)
    if split == whole > 1 and split * whole == tensor * data and tensor * data in (16, 64):
        return (split, 1, True) if tensor > 1 else (1, split, True)
    if tensor == data > 1:
        return tensor, 1, True
    return tensor, data, whole > 1


def by_group(observations: Sequence[Observation]) -> dict[tuple[str, str], list[Observation]]:
    groups: dict[tuple[str, str], list[Observation]] = {}
    for one in observations:
        groups.setdefault(one.group, []).append(one)
    return dict(sorted(groups.items()))
