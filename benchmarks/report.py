"""Turns the figures of a run into the tables of docs/benchmarks.md: medians over the rounds, and ratios."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
AA_MAX = 0.20

# The bar that the project set itself: (what, subject's figure, how it is compared, limit).
BAR_CPU_US, BAR_PER_S, BAR_OF_NGINX, BAR_TIMES_LITELLM = 125, 8000, 0.10, 80
BAR_P50_MS, BAR_P99_MS, BAR_LARGE_P50_MS = 0.3, 5, 0.6
BAR_STREAMS, BAR_STREAM_CPU_MS, BAR_FIRST_P50_MS = 512, 3, 1
BAR_COLD_S, BAR_IDLE_MIB = 1.5, 90


def markdown(results: dict[str, Any]) -> str:
    rounds = results["rounds"]
    parts = [
        _about(results),
        _bar(results),
        "### Single answers\n\n" + _unary(rounds),
        "### Added latency, one request at a time\n\n" + _latency(rounds),
        "### Streams of 64 deltas, one every 20 ms\n\n" + _streams(rounds),
        "### Start and memory\n\n" + _starts(results["starts"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(text: str, target: Path) -> None:
    """Replaces what stands between the marks, or appends it with them."""
    current = target.read_text(encoding="utf-8") if target.exists() else "# Benchmarks\n"
    block = f"{BEGIN}\n{text}{END}"
    if BEGIN in current and END in current:
        head, rest = current.split(BEGIN, 1)
        current = head + block + rest.split(END, 1)[1]
    else:
        current = f"{current.rstrip()}\n\n{block}\n"
    target.parent.mkdir(exist_ok=True)
    target.write_text(current, encoding="utf-8")


def _about(results: dict[str, Any]) -> str:
    about = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in results["machine"].items())
    lines = [f"Measured: {about}. {len(results['rounds'])} interleaved rounds, medians; took {results['took_s']} s."]
    stolen = ", ".join(f"{one['stolen_share']:.1%}" for one in results["rounds"])
    lines[0] += f" The host gave to other guests, of what all cores could do, by round: {stolen}."
    if results["quick"]:
        lines.append("**A quick run: a smoke test of the harness, not a measurement.**")
    lines += [
        f"Left out: {name} ({reason.splitlines()[0][:160]})." for name, reason in results["left_out"].items() if reason
    ]
    return "\n\n".join(lines)


def _bar(results: dict[str, Any]) -> str:
    rounds = results["rounds"]
    if "signalbox" not in rounds[0]["unary"]:
        return ""
    rows = [(what, _shown(value), limit, _verdict(value, limit)) for what, value, limit in _bar_rows(results)]
    return "### Against the bar\n\n" + table(("what", "measured", "bar", "met"), rows)


def _bar_rows(results: dict[str, Any]) -> Iterable[tuple[str, float | None, str]]:
    rounds, us = results["rounds"], "signalbox"
    cpu, per_s = _median(rounds, "unary", us, "cpu_us"), _median(rounds, "unary", us, "per_s")
    yield "CPU µs per request", cpu, f"<= {BAR_CPU_US}"
    yield "requests/s on one core", per_s, f">= {BAR_PER_S}"
    yield "share of nginx's requests/s", _ratio(per_s, _capacity(rounds, "nginx")), f">= {BAR_OF_NGINX}"
    yield (
        "times LiteLLM's requests/s",
        _ratio(per_s, _median(rounds, "unary", "litellm", "per_s")),
        (f">= {BAR_TIMES_LITELLM}"),
    )
    yield "added p50 ms, 0.4 KB", _added(rounds, us, "small", "p50"), f"<= {BAR_P50_MS}"
    trusted = all(_noise(r, "small", "p99") <= AA_MAX for r in rounds)
    yield (
        f"added p99 ms, 0.4 KB{'' if trusted else ' (A/A rounds disagree)'}",
        (_added(rounds, us, "small", "p99")),
        f"<= {BAR_P99_MS}",
    )
    yield "added p50 ms, 20 KB", _added(rounds, us, "large", "p50"), f"<= {BAR_LARGE_P50_MS}"
    yield "40 ms steps", float(_steps(rounds, us)), "<= 0"
    kept = _kept(rounds, us)
    yield "concurrent streams kept in time", float(kept), f">= {BAR_STREAMS}"
    yield (
        "CPU ms per stream",
        _of_step(rounds, us, min(kept or 64, BAR_STREAMS), "cpu_ms_per_stream"),
        (f"<= {BAR_STREAM_CPU_MS}"),
    )
    yield (
        "added first-token p50 ms at 64 streams",
        _of_step(rounds, us, 64, "added_first_p50_ms"),
        (f"<= {BAR_FIRST_P50_MS}"),
    )
    yield "cold start s (this configuration)", results["starts"][us]["cold_start_s"], f"<= {BAR_COLD_S}"
    yield "idle memory of the largest process MiB", results["starts"][us]["idle_largest_mib"], f"<= {BAR_IDLE_MIB}"


def _verdict(value: float | None, limit: str) -> str:
    if value is None:
        return "not measured"
    sign, number = limit.split()
    return "yes" if (value <= float(number) if sign == "<=" else value >= float(number)) else "**no**"


def _unary(rounds: list[dict[str, Any]]) -> str:
    nginx = _capacity(rounds, "nginx")
    rows: list[tuple[str, ...]] = []
    for name in rounds[0]["unary"]:
        per_s = _median(rounds, "unary", name, "per_s")
        rows.append(
            (
                name,
                _shown(_median(rounds, "unary", name, "cpu_us")),
                _shown(_median(rounds, "unary", name, "busiest_us")),
                _shown(_median(rounds, "unary", name, "system_us")),
                _shown(per_s),
                _shown(_median(rounds, "unary", name, "core_share")),
                _shown(_ratio(_capacity(rounds, name), nginx)) if name != "direct" else "",
                _shown(_median(rounds, "unary", name, "p99_ms")),
                str(sum(r["unary"][name]["failed"] for r in rounds)),
            )
        )
    heads = (
        *("subject", "CPU µs a request", "busiest process", "in the kernel"),
        *("requests/s", "core used", "of nginx", "p99 ms at 64", "failed"),
    )
    return table(heads, rows) + (
        "\n\nWhere the core used is well under 1 the load side was the limit, and requests/s is a lower bound; `of "
        "nginx` therefore compares what one full core would carry (1 s ÷ CPU a request)."
    )


def _latency(rounds: list[dict[str, Any]]) -> str:
    rows: list[tuple[str, ...]] = []
    for name in rounds[0]["latency"]:
        if name == "direct-again":
            continue
        cells = [name]
        for kind in ("small", "large"):
            for share in ("p50", "p99"):
                value = (
                    median(r["latency"][name][kind]["ms"][share] for r in rounds)
                    if name == "direct"
                    else _added(rounds, name, kind, share)
                )
                cells.append(("" if name == "direct" else "+") + _shown(value))
        cells.append(str(_steps(rounds, name)))
        rows.append(tuple(cells))
    noise = ", ".join(f"{_noise(r, 'small', 'p50'):.0%} / {_noise(r, 'small', 'p99'):.0%}" for r in rounds)
    heads = ("subject", "0.4 KB p50 ms", "0.4 KB p99 ms", "20 KB p50 ms", "20 KB p99 ms", "40 ms steps")
    return table(heads, rows) + f"\n\nDirect against direct again (A/A), p50 / p99 by round: {noise}."


def _streams(rounds: list[dict[str, Any]]) -> str:
    rows: list[tuple[str, ...]] = []
    for name in rounds[0]["streams"]:
        for count in sorted({step["streams"] for r in rounds for step in r["streams"][name]}):
            steps = [step for r in rounds for step in r["streams"][name] if step["streams"] == count]
            rows.append(
                (
                    name,
                    str(count),
                    f"{sum(step['in_time'] for step in steps)} of {len(rounds)}",
                    *(
                        _shown(_over(steps, key))
                        for key in ("added_first_p50_ms", "added_first_p99_ms", "cpu_ms_per_stream", "core_share")
                    ),
                    _shown(_over([step["gap_ms"] for step in steps], "p99")),
                    str(sum(step["stalled"] for step in steps)),
                    str(sum(sum(step["wrong"].values()) for step in steps)),
                )
            )
    kept = ", ".join(f"{name} {_kept(rounds, name)}" for name in rounds[0]["streams"])
    heads = (
        *("subject", "streams", "rounds in time", "added first p50 ms", "added first p99 ms", "CPU ms a stream"),
        *("core used", "gap p99 ms", "stalled", "wrong"),
    )
    return table(heads, rows) + f"\n\nLargest number kept in time in most rounds: {kept}."


def _starts(starts: dict[str, Any]) -> str:
    rows = [
        (name, *(_shown(figures.get(key)) for key in ("cold_start_s", "idle_mib", "idle_largest_mib", "loaded_mib")))
        for name, figures in starts.items()
    ]
    return table(("subject", "start to first answer s", "idle MiB (PSS)", "largest process", "after the run MiB"), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _median(rounds: list[dict[str, Any]], part: str, name: str, key: str) -> float | None:
    return _over([r[part][name] for r in rounds if name in r[part]], key)


def _over(figures: list[dict[str, Any]], key: str) -> float | None:
    values = [one[key] for one in figures if one.get(key) is not None]
    return median(values) if values else None


def _capacity(rounds: list[dict[str, Any]], name: str) -> float | None:
    """Requests a second that one full core would carry."""
    cpu_us = _median(rounds, "unary", name, "cpu_us")
    return 1e6 / cpu_us if cpu_us else None


def _ratio(top: float | None, bottom: float | None) -> float | None:
    return top / bottom if top is not None and bottom else None


def _added(rounds: list[dict[str, Any]], name: str, kind: str, share: str) -> float | None:
    if name not in rounds[0]["latency"]:
        return None
    return median(
        r["latency"][name][kind]["ms"][share]
        - (r["latency"]["direct"][kind]["ms"][share] + r["latency"]["direct-again"][kind]["ms"][share]) / 2
        for r in rounds
    )


def _noise(one: dict[str, Any], kind: str, share: str) -> float:
    first, again = (one["latency"][name][kind]["ms"][share] for name in ("direct", "direct-again"))
    return abs(first - again) / min(first, again)


def _steps(rounds: list[dict[str, Any]], name: str) -> int:
    return sum(part["steps_40ms"] for r in rounds for part in r["latency"][name].values())


def _kept(rounds: list[dict[str, Any]], name: str) -> int:
    """The largest number of streams kept in time in more than half of the rounds."""
    kept = 0
    for count in sorted({step["streams"] for r in rounds for step in r["streams"].get(name, ())}):
        good = sum(step["in_time"] for r in rounds for step in r["streams"][name] if step["streams"] == count)
        if good * 2 <= len(rounds):
            break
        kept = count
    return kept


def _of_step(rounds: list[dict[str, Any]], name: str, count: int, key: str) -> float | None:
    return _over([step for r in rounds for step in r["streams"][name] if step["streams"] == count], key)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}".rstrip("0").rstrip(".")
