"""Saturated throughput of open-loop vLLM runs that no fit has seen.

    python -m benchmarks.planner.saturation --data DIR

Runs: `master_results.csv` of vllm-cost-meter (MIT; arXiv 2606.11690): Poisson arrivals at 1 to 200 requests/s, 512
tokens in, 256 out, three models in 16 and 8 bits. Saturated is the highest throughput of each configuration. The runs
name their accelerators `H100` and `A100_80GB_PCIe`. The H100 is taken for the NVL card, not the SXM part: 6.98 USD an
hour was the price of Azure's NC40ads H100 v5, which has one, as 3.67 was of its NC24ads A100 v4; and no run drew more
than 380 W. sequences_max is the planner's default.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.planner.points import arguments, folder
from signalbox.planner.calibration import Point, calibrated, fitted
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.model import knee
from signalbox.planner.specs import GpuSpec, LengthMix, ModelSpec, ServingConfig, Slo

FILE = "master_results.csv"
MIX = LengthMix(input_tokens=512, output_tokens=256)
ACCELERATORS = {"H100": "h100-nvl", "A100_80GB_PCIe": "a100-pcie-80gb"}
PRECISIONS = {"float16": "bf16", "fp8": "fp8"}
LIGHT = (5.0, 10.0)


def measure(path: Path) -> dict[str, object]:
    runs: dict[tuple[str, str, str, int], list[dict[str, str]]] = {}
    for row in csv.DictReader(path.open(newline="")):
        if row["engine"] == "vllm":
            key = (row["hardware"], row["model"], row["precision"], int(row["gpus"]))
            runs.setdefault(key, []).append(row)
    found: dict[str, list[float]] = {}
    listed: list[dict[str, object]] = []
    for (hardware, model, precision, gpus), rows in sorted(runs.items()):
        config = msgspec.convert(
            {"engine": "vllm", "quantisation": PRECISIONS[precision], "tensor_parallel": gpus}, ServingConfig
        )
        spec, gpu = shipped().model(model), shipped().gpu(ACCELERATORS[hardware])
        known = calibrated(fitted(), [_point(row, spec, gpu, config) for row in rows if float(row["rps"]) in LIGHT])
        measured = max(float(row["tps_output"]) for row in rows)
        predicted, after = (
            knee(spec, gpu, config, MIX, Slo(), calibration).output_tokens_per_s.p50
            for calibration in (fitted(), known)
        )
        found.setdefault(f"{hardware}_median_pct", []).append(abs(predicted / measured - 1.0) * 100.0)
        found.setdefault(f"{hardware}_after_two_median_pct", []).append(abs(after / measured - 1.0) * 100.0)
        name = f"{hardware} x {gpus} {model} {precision}"
        listed.append({"configuration": name, "measured": measured, "predicted": predicted, "after_two": after})
    return {**{name: float(np.median(values)) for name, values in found.items()}, "runs": listed}


def _point(row: dict[str, str], spec: ModelSpec, gpu: GpuSpec, config: ServingConfig) -> Point:
    """In flight by Little's law: what is completed in a second, times how long it takes."""
    return Point(
        model=spec,
        gpu=gpu,
        config=config,
        mix=MIX,
        concurrency=max(1.0, float(row["request_throughput"]) * float(row["e2el_p50_ms"]) / 1e3),
        tpot_s=float(row["tpot_p50_ms"]) / 1e3,
    )


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    print(json.dumps(measure(folder(options) / FILE), indent=1))


if __name__ == "__main__":
    main()
