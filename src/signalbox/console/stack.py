"""Stacked bars of spend by day. Geometry only; the template draws it."""

from __future__ import annotations

import msgspec

from signalbox.control.readings.spend import Spend

WIDTH, BOTTOM = 960, 190
# Groups get these looks in turn; the style sheet knows them by number.
LOOKS = 8


class Block(msgspec.Struct, frozen=True):
    """One group on one day. look: number of its colour and pattern."""

    x: float
    y: float
    width: float
    height: float
    look: int
    day: str
    group: str
    pico: int


class Stack(msgspec.Struct, frozen=True):
    """most_pico: what the full height stands for. ticks: (x, day)."""

    blocks: list[Block]
    most_pico: int
    ticks: list[tuple[float, str]]


def stack(spend: Spend) -> Stack:
    totals = [sum(group.days[place] for group in spend.drawn) for place in range(len(spend.days))]
    most = max(totals, default=0)
    step = WIDTH / max(len(spend.days), 1)
    width = max(step * 0.76, 0.8)
    blocks: list[Block] = []
    for place, day in enumerate(spend.days):
        y = float(BOTTOM)
        for look, group in enumerate(spend.drawn):
            pico = group.days[place]
            if pico and most:
                height = (BOTTOM - 10) * pico / most
                y -= height
                x = place * step + (step - width) / 2
                blocks.append(
                    Block(
                        round(x, 2), round(y, 2), round(width, 2), round(height, 2), look % LOOKS, day, group.name, pico
                    )
                )
    every = max(1, len(spend.days) // 8)
    ticks = [(round((place + 0.5) * step, 1), day[5:]) for place, day in enumerate(spend.days) if place % every == 0]
    return Stack(blocks, most, ticks)
