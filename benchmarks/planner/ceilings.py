"""Whether any prediction exceeds 1.25 times the best MLPerf Inference v5.1 result per accelerator.

    python -m benchmarks.planner.ceilings

Every pair with a published result, on the mean lengths of its benchmark, over engines, precisions and 1 to 8 ranks,
with as many sequences as memory holds. Needs no data but the catalogue's. `unguarded`: the same without the guard, to
see what it is worth: nothing in the fit knows these results.
"""

from __future__ import annotations

import itertools
import json

import msgspec
import numpy as np

from signalbox.planner.calibration import fitted
from signalbox.planner.catalogue.entries import Ceiling
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.model import CEILING_HEADROOM, knee, step_time
from signalbox.planner.roofline import sequences_held
from signalbox.planner.specs import LengthMix, ServingConfig, Slo

ENGINES = ("vllm", "sglang", "trtllm")
PRECISIONS = ("bf16", "fp8", "fp4")
RANKS = (1, 2, 4, 8)


def ratios(ceiling: Ceiling) -> list[tuple[float, float]]:
    """Predicted over published throughput, guarded and not, of every configuration that fits."""
    spec, gpu = shipped().model(ceiling.model), shipped().gpu(ceiling.gpu)
    mix = LengthMix(input_tokens=ceiling.input_tokens, output_tokens=ceiling.output_tokens)
    found: list[tuple[float, float]] = []
    for engine, precision, ranks in itertools.product(ENGINES, PRECISIONS, RANKS):
        config = msgspec.convert(
            {
                "engine": engine,
                "quantisation": precision,
                "tensor_parallel": ranks,
                "kv_bits": 16 if precision == "bf16" else 8,
                "sequences_max": 8192,
            },
            ServingConfig,
        )
        held = sequences_held(spec, gpu, config, mix)
        if held < 1:
            continue
        best = knee(spec, gpu, config, mix, Slo())
        bare = held / step_time(spec, gpu, config, mix, held, fitted())[0]
        published = ceiling.output_tokens_per_s * config.gpus
        found.append((best.output_tokens_per_s.p50 / published, bare / published))
    return found


def measure() -> dict[str, object]:
    by_pair = {f"{one.model} {one.gpu}": ratios(one) for one in shipped().ceilings}
    every = np.array([ratio for found in by_pair.values() for ratio in found])
    best = np.array([max(bare for _, bare in found) for found in by_pair.values()])
    return {
        "pairs": len(by_pair),
        "configurations": len(every),
        "highest": float(every[:, 0].max()),
        "limit": CEILING_HEADROOM,
        "unguarded_highest": float(every[:, 1].max()),
        "unguarded_above_pct": 100.0 * float(np.mean(every[:, 1] > CEILING_HEADROOM)),
        "unguarded_best_median": float(np.median(best)),
    }


def main() -> None:
    print(json.dumps(measure(), indent=1))


if __name__ == "__main__":
    main()
