"""Decoding on single devices: how many public runs lie within the predicted band.

    python -m benchmarks.planner.edge --data DIR

Runs: geerlingguy/ai-benchmarks (MIT), one stream, the four-bit default of a local engine, on devices whose accelerator
is in the catalogue and holds the whole model. Predicted with a short prompt; nothing is fitted.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np

from benchmarks.planner.points import arguments, folder
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.model import predict
from signalbox.planner.roofline import sequences_held
from signalbox.planner.specs import LengthMix, ServingConfig

FILE = "geerling_ai_benchmarks.csv"
MIX = LengthMix(input_tokens=50, output_tokens=300)

MODELS = {
    "DeepSeek R1 14b": ("qwen2.5-14b", "int4"),
    "DeepSeek R1 671b": ("deepseek-r1", "int4"),
    "gpt-oss 20b": ("gpt-oss-20b", "fp4"),
    "Llama 3.2:3b": ("llama-3.2-3b", "int4"),
    "Llama 3.1:70b": ("llama-3.1-70b", "int4"),
    "Llama 3.1:405b": ("llama-3.1-405b", "int4"),
}
DEVICES = (
    (r"RTX 40901?\)|Nvidia 4090\)", "rtx-4090"),
    (r"Nvidia 5090\)", "rtx-5090"),
    (r"RTX 4070 Ti1?\)", "rtx-4070-ti"),
    (r"RTX 30601?\)", "rtx-3060"),
    (r"M3 Ultra", "mac-studio-m3-ultra"),
    (r"M4 Mac mini", "mac-mini-m4"),
    (r"Spark\)", "dgx-spark"),
    (r"Framework (Desktop )?Mainboard \((128GB|395\+)\)", "ryzen-ai-max-395"),
    (r"^Pi (5|500\+) - 16GB$", "raspberry-pi-5"),
)


def measure(path: Path) -> dict[str, object]:
    catalogue = shipped()
    ratios: list[float] = []
    inside: list[bool] = []
    watts: list[float] = []
    for row in csv.DictReader(path.open(newline="")):
        device = next((name for pattern, name in DEVICES if re.search(pattern, row["system"])), None)
        if device is None or row["model"] not in MODELS:
            continue
        name, quantisation = MODELS[row["model"]]
        spec, gpu = catalogue.model(name), catalogue.gpu(device)
        config = ServingConfig(
            engine="llama.cpp", quantisation="fp4" if quantisation == "fp4" else "int4", memory_share=1.0
        )
        if sequences_held(spec, gpu, config, MIX) < 1:
            continue
        band = predict(spec, gpu, config, MIX, 1).tpot_s
        measured_s = 1.0 / float(row["decode_tok_s"])
        ratios.append(band.p50 / measured_s)
        inside.append(band.p10 <= measured_s <= band.p90)
        if row["peak_watts"] and gpu.kind == "edge":
            watts.append(gpu.watts / float(row["peak_watts"]))
    relative = np.abs(np.array(ratios) - 1.0) * 100.0
    return {
        "runs": len(ratios),
        "median_pct": float(np.median(relative)),
        "p90_pct": float(np.quantile(relative, 0.9)),
        "inside_pct": 100.0 * float(np.mean(inside)),
        "watts_over_measured_median": float(np.median(watts)),
    }


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    print(json.dumps(measure(folder(options) / FILE), indent=1))


if __name__ == "__main__":
    main()
