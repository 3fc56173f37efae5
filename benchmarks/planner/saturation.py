"""Saturated throughput of open-loop vLLM runs that no fit has seen.

    python -m benchmarks.planner.saturation --data DIR

Runs: `master_results.csv` of vllm-cost-meter (MIT; arXiv 2606.11690): Poisson arrivals at 1 to 200 requests/s, 512
tokens in, 256 out, three models in 16 and 8 bits. Saturated is the highest throughput of each configuration. The runs
name their accelerators `H100` and `A100_80GB_PCIe`; the former are taken for the SXM part, although they never drew
more than 377 W. sequences_max is what the published runs kept in flight by default: 256.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.planner.points import arguments, folder
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.model import knee
from signalbox.planner.specs import LengthMix, ServingConfig, Slo

FILE = "master_results.csv"
MIX = LengthMix(input_tokens=512, output_tokens=256)
ACCELERATORS = {"H100": "h100-sxm", "A100_80GB_PCIe": "a100-pcie-80gb"}
PRECISIONS = {"float16": "bf16", "fp8": "fp8"}


def measure(path: Path) -> dict[str, object]:
    saturated: dict[tuple[str, str, str, int], float] = {}
    for row in csv.DictReader(path.open(newline="")):
        if row["engine"] == "vllm":
            key = (row["hardware"], row["model"], row["precision"], int(row["gpus"]))
            saturated[key] = max(saturated.get(key, 0.0), float(row["tps_output"]))
    found: dict[str, list[float]] = {}
    listed: list[dict[str, object]] = []
    for (hardware, model, precision, gpus), measured in sorted(saturated.items()):
        config = msgspec.convert(
            {
                "engine": "vllm",
                "quantisation": PRECISIONS[precision],
                "tensor_parallel": gpus,
            },
            ServingConfig,
        )
        capacity = knee(shipped().model(model), shipped().gpu(ACCELERATORS[hardware]), config, MIX, Slo())
        predicted = capacity.output_tokens_per_s.p50
        found.setdefault(hardware, []).append(abs(predicted / measured - 1.0) * 100.0)
        listed.append(
            {"configuration": f"{hardware} x {gpus} {model} {precision}", "measured": measured, "predicted": predicted}
        )
    medians = {f"{hardware}_median_pct": float(np.median(values)) for hardware, values in found.items()}
    return {**medians, "runs": listed}


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    print(json.dumps(measure(folder(options) / FILE), indent=1))


if __name__ == "__main__":
    main()
