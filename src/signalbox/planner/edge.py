"""Decoding on edge devices and with llama.cpp: bound by memory bandwidth, of which a share is reached.

tokens/s = efficiency x bandwidth / bytes touched. Over public runs from single-board computers to workstations the
efficiency lies between 0.42 and 0.90; these ends are taken as the tenth and ninetieth percentile.
"""

from __future__ import annotations

import math

from signalbox.planner.roofline import Terms
from signalbox.planner.specs import Z90, GpuSpec, ServingConfig

EFFICIENCY_LOW = 0.42
EFFICIENCY_HIGH = 0.90
EFFICIENCY = math.sqrt(EFFICIENCY_LOW * EFFICIENCY_HIGH)
SIGMA = math.log(EFFICIENCY_HIGH / EFFICIENCY_LOW) / 2.0 / Z90

# Of the arithmetic peak, what such engines reach on prompts.
COMPUTE_EFFICIENCY = 0.35


def applies(gpu: GpuSpec, config: ServingConfig) -> bool:
    return gpu.kind == "edge" or config.engine == "llama.cpp"


def step_s(parts: Terms) -> float:
    """Seconds per output token from the same terms as a server's, without its overheads: one engine's kernels compute
    on a block while the next one arrives, so the slower of the two decides.
    """
    return max(parts.memory / EFFICIENCY, parts.compute / COMPUTE_EFFICIENCY)
