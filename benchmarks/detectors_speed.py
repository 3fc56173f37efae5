"""How much CPU the detectors take: each text timed in many rounds spread over time, and the best moment of each kept.

A shared machine is up to twice as slow from one minute to the next. A row that is timed within one bad minute says
nothing, so all rows take turns in every round; a loop that never changes is timed along with them and says how steady
the machine was.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

from signalbox.core.labels import NONE, labels_of
from signalbox.detectors import secrets
from signalbox.detectors.scan import EVERYTHING, survey
from signalbox.policy.contents import STEP_CHARS

# Of a text so short that one reading takes microseconds, several readings make one round.
SHORT_CHARS, SHORT_REPEAT, LONG_REPEAT = 20_000, 5, 1


def speed(sets: dict[str, list[str]], rounds: int, pause_s: float) -> None:
    """CPU time of the gate, of the gate with secrets looked for, and of a whole survey, and how steady it was."""
    print(f"\n### Speed: best of {rounds} rounds, µs of CPU per KB\n")
    ways: tuple[Callable[[str], object], ...] = (EVERYTHING.gate, _with_secrets, _in_pieces)
    best = {name: [[math.inf] * len(texts) for _ in ways] for name, texts in sets.items()}
    whole: dict[str, list[float]] = {name: [] for name in sets}
    loop: list[float] = []
    began = time.monotonic()
    for _ in range(rounds):
        for name, texts in sets.items():
            loop.append(_once_us(_steady, ""))
            for way, bests in zip(ways, best[name], strict=True):
                times = [_best_us(way, text) for text in texts]
                bests[:] = map(min, bests, times)
                if way is _with_secrets:
                    whole[name].append(sum(times))
        time.sleep(pause_s)
    head = "texts | n | gate | with secrets | p95 of texts | median round | survey | p50 µs a text | worst ms"
    print(f"| {head} |\n|{'---|' * 9}")
    for name, texts in sets.items():
        sizes = [len(text.encode()) / 1024 for text in texts]
        gate, secret, survey_us = best[name]
        each = sorted(us / kb for us, kb in zip(secret, sizes, strict=True))
        cells = (
            name,
            len(texts),
            *(round(sum(us) / sum(sizes), 1) for us in (gate, secret)),
            round(each[int(len(each) * 0.95)], 1),
            round(statistics.median(whole[name]) / sum(sizes), 1),
            round(sum(survey_us) / sum(sizes), 1),
            round(statistics.median(survey_us), 1),
            round(max(survey_us) / 1000, 2),
        )
        print("| " + " | ".join(map(str, cells)) + " |")
    loop.sort()
    median, slow = statistics.median(loop) / loop[0], loop[int(len(loop) * 0.95)] / loop[0]
    print(
        f"\nThe loop that never changes took {loop[0]:.0f} µs at best, {median:.2f} times that in the median"
        f" and {slow:.2f} times in the slowest twentieth, over {time.monotonic() - began:.0f} s."
    )


def stream(sets: dict[str, list[str]], rounds: int) -> None:
    """CPU time of the gate with secrets as a busy process pays it: different texts of a kind, each read once and then
    another kind's, so that none finds the processor's caches as it left them; p95 is over texts."""
    print(f"\n### Speed: each text once in turn with those of other kinds, {rounds} rounds, µs of CPU per KB\n")
    spent: dict[str, list[list[float]]] = {name: [] for name in sets}
    loop: list[float] = []
    for text in {text for texts in sets.values() for text in texts[:8]}:
        _with_secrets(text)  # whatever is compiled or learnt at a first text
    for _ in range(rounds):
        now: dict[str, list[float]] = {name: [] for name in sets}
        for at in range(max(map(len, sets.values()))):
            for name, texts in sets.items():
                if at < len(texts):
                    now[name].append(_once_us(_with_secrets, texts[at]))
            loop.append(_once_us(_steady, ""))
        for name, times in now.items():
            spent[name].append(times)
    print(f"| texts | n | KB each, median | together | best | median | p95 | p95 from 0.3 KB on |\n|{'---|' * 8}")
    for name, texts in sets.items():
        sizes = [len(text.encode()) / 1024 for text in texts]
        # Of each text the middle one of its rounds: one that the machine took away is nobody's cost.
        middle = [statistics.median(times) for times in zip(*spent[name], strict=True)]
        each = sorted(us / kb for us, kb in zip(middle, sizes, strict=True))
        longer = sorted(us / kb for us, kb in zip(middle, sizes, strict=True) if kb >= 0.3) or [math.nan]
        cells = (
            name,
            len(texts),
            round(statistics.median(sizes), 2),
            *(round(us, 1) for us in (sum(middle) / sum(sizes), each[0], statistics.median(each))),
            *(round(some[int(len(some) * 0.95)], 1) for some in (each, longer)),
        )
        print("| " + " | ".join(map(str, cells)) + " |")
    _tell(loop)


def passes(sets: dict[str, list[str]], rounds: int, pause_s: float) -> None:
    """CPU time of the gate with secrets over the texts of a kind together, in three orders: one pass after the other,
    one kind after the other (so that each finds caches that others have used), and so with a pause before each. p95 is
    over passes."""
    print(f"\n### Speed: p95 of {rounds} passes, µs of CPU per KB\n")
    orders = ("in a row", "in turn", f"in turn, {pause_s * 1000:.0f} ms apart")
    print(f"| texts | n | {' | '.join(f'{order}: best | median | p95' for order in orders)} |\n|{'---|' * 11}")
    for text in {text for texts in sets.values() for text in texts}:
        _with_secrets(text)  # whatever is compiled or learnt at a first text
    spent: dict[str, list[list[float]]] = {name: [[], [], []] for name in sets}
    loop: list[float] = []
    for name, texts in sets.items():
        spent[name][0] = [_all_us(texts) for _ in range(rounds)]
    for order, wait_s in ((1, 0.0), (2, pause_s)):
        for _ in range(rounds):
            for name, texts in sets.items():
                time.sleep(wait_s)
                spent[name][order].append(_all_us(texts))
            loop.append(_once_us(_steady, ""))
    for name, times in spent.items():
        size = sum(len(text.encode()) for text in sets[name]) / 1024
        cells: list[float] = []
        for some in times:
            some.sort()
            cells += [some[0] / size, statistics.median(some) / size, some[int(rounds * 0.95)] / size]
        print(f"| {name} | {len(sets[name])} | " + " | ".join(str(round(cell, 1)) for cell in cells) + " |")
    _tell(loop)


def _all_us(texts: list[str]) -> float:
    return sum([_once_us(_with_secrets, text) for text in texts])


def _best_us(way: Callable[[str], object], text: str) -> float:
    repeat = SHORT_REPEAT if len(text) <= SHORT_CHARS else LONG_REPEAT
    return min(_once_us(way, text) for _ in range(repeat))


def _once_us(way: Callable[[str], object], text: str) -> float:
    began = time.thread_time_ns()
    way(text)
    return (time.thread_time_ns() - began) / 1000


def _tell(loop: list[float]) -> None:
    best, median = min(loop), statistics.median(loop)
    print(f"\nThe loop that never changes took {best:.0f} µs at best and {median:.0f} in the median.")


def _steady(_: str) -> None:
    """The same work whatever is measured."""
    total = 0
    for number in range(5000):
        total += number & 7


def _with_secrets(text: str) -> None:
    view, reasons = EVERYTHING.gate(text)
    if secrets.DETECTOR in reasons:
        view.found = list(secrets.DETECTOR.find(view))


def _in_pieces(text: str) -> None:
    """As long texts of calls are read: what one piece has shown need not be found in the next."""
    known = NONE
    for start in range(0, len(text), STEP_CHARS):
        found = survey(text[start : start + STEP_CHARS], known)
        known |= labels_of({one.tag for one in found})


def adversarial() -> dict[str, list[str]]:
    """100 KB each of what detectors like least."""
    size = 100_000
    seeds = [
        "@",
        "a@",
        "a@b.",
        "1",
        "1 ",
        "1-",
        "12 ",
        "4111 1111 ",
        "AA00 ",
        "A",
        "key=",
        "password=x ",
        "password:",
        "://a:b",
        "://",
        "eyJ",
        "eyJ.",
        "::",
        ":a:",
        "%41",
        "\\u0041",
        "&#65;",
        "QUJD",
        "(",
        "{;\n",
        "if (\n",
        "```\n",
        "Mr. A ",
        "born ",
        "patient Anna B. ",
        "CONFIDENTIAL ",
        "secret//",
        "a 1 ",
        "Bearer aaaaaa ",
        "-----BEGIN ",
        "ghp_",
        "ghp_a_",
        "\u200b",
        "а",
        "аa",
        "機密",
        "\U000e0041",
        "account 1 ",
        "cvv ",
        "i.i.",
        "0x",
        "=" * 50,
    ]
    return {repr(seed[:12]): [(seed * (size // len(seed) + 1))[:size]] for seed in seeds}
