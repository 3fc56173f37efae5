"""A plan as one self-contained page: what runs where, why, what it costs, and what changes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from signalbox.planner.charts import Bar, bars, lines, money, tornado
from signalbox.planner.crossover import Crossover
from signalbox.planner.plan import Plan
from signalbox.planner.quantity import dollars
from signalbox.planner.reasons import REASONS

ROWS_MAX = 300
MISSING_SHOWN = 20
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:2rem auto;padding:0 1rem;color:#1c1c1a;
background:#fcfcfa}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;width:100%;font-size:.86rem}td,th{text-align:left;
padding:.25rem .5rem;border-bottom:1px solid #e6e6e2;
vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto;font-size:12px}
figure{margin:.8rem 0}figcaption{font-size:.86rem;color:#555;margin-bottom:.3rem}
svg .s{font-size:10.5px;fill:#555}
.big{font-size:1.5rem}.warn{background:#fdf0e8;border-left:4px solid #c2562d;padding:.5rem .8rem;
margin:.5rem 0}dt{font-weight:600}
dd{margin:0 0 .6rem 0}code{background:#f0f0ec;padding:.1rem .3rem;overflow-wrap:anywhere}details{margin:.6rem 0}
"""


def page(plan: Plan) -> str:
    """HTML, with nothing loaded from anywhere."""
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>Plan: {escape(plan.name)}</title><style>{STYLE}</style></head><body>",
        *_head(plan),
        *_placements(plan),
        *_questions(plan),
        *_costs(plan),
        *_crossovers(plan.crossovers),
        *_load(plan),
        *_futures(plan),
        *_scales(plan),
        *_where(plan),
        *_constraints(plan),
        *_serving(plan),
        *_steps(plan),
        *_reasons(plan),
        f"<p>Made on {escape(plan.sources.day)}; prices: {escape(plan.sources.prices)}; fingerprint "
        f"<code>{plan.fingerprint}</code>.</p></body></html>\n",
    ]
    return "".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[int] = frozenset()) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if at in numbers else ''}>{escape(cell)}</{tag}>" for at, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{cells(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _head(plan: Plan) -> list[str]:
    out = [f"<h1>{escape(plan.name)}</h1>"]
    if plan.placed:
        band = plan.futures.usd_per_month if plan.futures is not None else None
        spread = f" ({dollars(band.p10)} to {dollars(band.p90)} in eight futures of ten)" if band is not None else ""
        proof = "proven least cost" if plan.status == "optimal" else f"within {plan.gap:.1%} of the least cost"
        out.append(f"<p class=big>{dollars(plan.usd_per_month)} USD a month{escape(spread)}</p><p>{proof}. ")
        out.append(f"{plan.people_fte:.2f} engineers are bound, {plan.capex_usd:,.0f} USD of capital.</p>")
    for change in plan.unplaced:
        out.append(f"<p class=warn>Nothing serves it. The smallest change: {escape(change.sentence())}.</p>")
        out += [f"<p class=warn>{escape(reason)}</p>" for reason in change.because]
    for contradiction in plan.contradictions:
        out.append(f"<p class=warn>{escape(contradiction.sentence())}</p>")
    out += [f"<p class=warn>{escape(each.sentence())}.</p>" for each in plan.missing[:MISSING_SHOWN]]
    for broken in plan.checked:
        out.append(f"<p class=warn>{escape(broken)}</p>")
    return out


def _placements(plan: Plan) -> list[str]:
    if not plan.placed:
        return []
    rows = [
        (
            row.workload,
            " > ".join(row.options),
            f"{row.share:.0%}",
            f"over {row.pattern} to {row.spill}" if row.spill else "",
            f"{row.usd_per_month:,.0f}",
        )
        for row in plan.placed[:ROWS_MAX]
    ]
    head = ("workload", "runs on", "share", "overflow", "USD a month")
    return ["<h2>What runs where</h2>", _table(head, rows, frozenset((2, 4)))]


def _questions(plan: Plan) -> list[str]:
    items = "".join(f"<dt>{escape(each)}</dt><dd>{escape(text)}</dd>" for each, text in plan.answers.items())
    return [f"<h2>Six questions</h2><dl>{items}</dl>"] if items else []


def _costs(plan: Plan) -> list[str]:
    """The dearest workloads, each on every option that it may use."""
    out: list[str] = []
    names = list(dict.fromkeys(row.workload for row in plan.placed))[:6]
    for name in names:
        rows = [
            Bar(each.option, each.usd_per_month[1], each.usd_per_month[0], each.usd_per_month[2], each.code == "chosen")
            for each in plan.verdicts
            if each.workload == name and each.usd_per_month is not None
        ]
        if rows:
            rows.sort(key=lambda each: each.value)
            title = f"{name}: USD a month if all of it ran there alone, P10 to P90"
            out += [f"<h3>{escape(name)}</h3>", bars(rows[:14], title)]
    return (
        ["<h2>Cost by placement</h2><p>Each option for the whole workload with nothing to share it.</p>", *out]
        if out
        else []
    )


def _crossovers(found: Sequence[Crossover]) -> list[str]:
    if not found:
        return []
    out = ["<h2>Crossover</h2>"]
    first = next((each for each in found if each.tokens_per_day is not None), found[0])
    most = max(first.today, first.tokens_per_day or 0.0) * 3 or 1.0
    xs = [most * step / 40 for step in range(1, 41)]
    days = 365 / 12 / 1e6
    by_token = [(x, x * days * first.token_usd_mtok) for x in xs]
    marks = [(first.today, "today")]
    if first.tokens_per_day is not None:
        marks.append((first.tokens_per_day, "crossover"))
    own = first.steps.line(most) if first.steps is not None else []
    ends = first.steps is not None and own[-1][0] < most
    title = f"{first.pool} against {first.token} for {first.workload}: whole lots, people included"
    out.append(
        lines(
            [(first.token, by_token), (first.pool, own)] if own else [(first.token, by_token)],
            title + (f"; {first.pool} ends where its lots do" if ends else ""),
            x_label="tokens a day",
            y_label="USD a month",
            mark_x=marks,
        )
    )
    out.append("<ul>" + "".join(f"<li>{escape(each.sentence())}</li>" for each in found[:12]) + "</ul>")
    return out


def _load(plan: Plan) -> list[str]:
    series = [
        (pool.option, [(float(hour + 1), 100 * part) for hour, part in enumerate(pool.duration)])
        for pool in plan.pools
        if pool.duration
    ]
    if not series:
        return []
    chart = lines(
        series,
        "Load over capacity, by hours of the week",
        x_label="hours of a week with at least this load",
        y_label="% of what all lots carry",
        mark_y=100,
    )
    rows = [
        (
            pool.option,
            ", ".join(f"{count} {tier}" for tier, count in pool.lots.items()),
            str(pool.gpus),
            f"{pool.used:.0%}",
            "" if pool.ttft_ms is None else f"{pool.ttft_ms[0]:,.0f} to {pool.ttft_ms[2]:,.0f}",
            f"{pool.usd_per_month:,.0f}",
        )
        for pool in plan.pools
    ]
    head = ("lots", "paid how", "GPUs", "mean use", "first token ms", "USD a month")
    out = ["<h2>Load and capacity</h2>", chart, _table(head, rows, frozenset((2, 3, 4, 5)))]
    if plan.stress is not None and plan.stress.pools:
        stressed = [
            (
                each.option,
                each.state,
                f"{each.overfull_share:.2%}",
                f"{each.overflow_share:.2%}",
                f"{each.waiting_share:.2%}",
            )
            for each in plan.stress.pools
        ]
        head = ("lots", "state", "minutes overfull", "calls elsewhere", "calls waiting")
        out += ["<h3>A week of minutes</h3>", _table(head, stressed, frozenset((2, 3, 4)))]
    return out


def _futures(plan: Plan) -> list[str]:
    told = plan.futures
    if told is None:
        return []
    rows = [(each.what, each.low_usd, each.high_usd) for each in told.tornado]
    text = (
        f"<p>{told.draws} draws (seed {told.seed}): {told.usd_per_month.p10:,.0f} / {told.usd_per_month.p50:,.0f} / "
        f"{told.usd_per_month.p90:,.0f} USD; the worst tenth means {told.worst_tenth_usd:,.0f}. More lots were needed "
        f"in {told.extra_lots_share:.0%} of them.</p>"
    )
    title = "The plan's cost with each driver at its P10 and P90"
    return ["<h2>What it depends on</h2>", text, tornado(rows, plan.usd_per_month, title)]


def _scales(plan: Plan) -> list[str]:
    if not plan.scales:
        return []
    rows = [
        (
            f"{each.factor:g}x",
            "nothing fits" if each.usd_per_month is None else f"{each.usd_per_month:,.0f}",
            "" if each.usd_per_mtok is None else f"{each.usd_per_mtok:,.3f}",
            ", ".join(f"{name} {share:.0%}" for name, share in list(each.by_option.items())[:5]),
            ", ".join(each.limits),
        )
        for each in plan.scales
    ]
    found = [each for each in plan.scales if each.usd_per_mtok is not None]
    chart = bars(
        [
            Bar(f"{each.factor:g}x", each.usd_per_mtok or 0, each.usd_per_mtok or 0, each.usd_per_mtok or 0)
            for each in found
        ],
        "USD a million tokens by scale",
    )
    monthly = bars(
        [Bar(f"{each.factor:g}x", usd, usd, usd, True) for each in found if (usd := each.usd_per_month) is not None],
        "USD a month at 1, 10 and 100 times the volume",
    )
    regret = [
        (
            ", ".join(each.opened) or "tokens only",
            *("no fit" if part is None else f"{part:.1%}" for part in each.regret),
        )
        for each in plan.strategies
    ]
    choice = "none fits every scale" if plan.no_regret is None else ", ".join(plan.no_regret) or "tokens only, no lots"
    return [
        "<h2>Today, ten and a hundred times</h2>",
        monthly,
        chart,
        _table(
            ("volume", "USD a month", "USD a million tokens", "tokens by option", "in the way of more"),
            rows,
            frozenset((1, 2)),
        ),
        f"<p>What is least regretted: <b>{escape(choice)}</b>.</p>",
        _table(("options opened", "1x", "10x", "100x"), regret, frozenset((1, 2, 3))),
    ]


def _where(plan: Plan) -> list[str]:
    if not plan.regions:
        return []
    rows = [Bar(name, share * 100, share * 100, share * 100, True) for name, share in plan.regions.items()]
    out = ["<h2>Where the data goes</h2>", bars(rows, "Share of tokens by environment", " %")]
    if plan.stress is not None:
        gone = [
            (
                each.environment,
                ", ".join(f"{a} to {b}" for a, b in each.moved.items()) or "nothing",
                ", ".join(each.still),
            )
            for each in plan.stress.outages
        ]
        out += ["<h3>When one is gone</h3>", _table(("environment", "moves", "stands still"), gone)]
    return out


def _constraints(plan: Plan) -> list[str]:
    if not plan.constraints:
        return []
    rows = [
        (each.constraint, "not told in time" if each.usd_per_month is None else f"{each.usd_per_month:,.0f}",
         "" if each.saves_usd is None else f"{each.saves_usd:,.0f}")
        for each in plan.constraints
    ]  # fmt: skip
    head = ("without", "USD a month", "saves")
    return ["<h2>The price of each constraint</h2>", _table(head, rows, frozenset((1, 2)))]


def _serving(plan: Plan) -> list[str]:
    if not plan.recipes:
        return []
    items = "".join(
        f"<dt>{escape(each.option)}: {each.replicas} replicas of {each.gpus_per_replica} GPUs</dt>"
        f"<dd><code>{escape(each.line())}</code><br>Weights: <code>{escape(each.pin)}</code><br>Another replica from "
        f"{each.signals['in_flight_up']:g} calls in flight at each on, one less below "
        f"{each.signals['in_flight_down']:g}. {escape(each.note)}</dd>"
        for each in plan.recipes
    )
    return [f"<h2>How to serve it</h2><dl>{items}</dl>"]


def _steps(plan: Plan) -> list[str]:
    rows = [(each.workload, each.step, each.what) for each in plan.playbook[:ROWS_MAX]]
    out = ["<h2>From prototype to optimised</h2>", _table(("workload", "step", "what"), rows)] if rows else []
    saved = [
        (
            each.workload,
            each.option,
            each.name,
            f"{each.saving:.0%}",
            f"{each.usd_per_month:,.0f}",
            "in the plan" if each.counted else "to be had",
            each.needs,
        )
        for each in plan.levers[:ROWS_MAX]
    ]
    if saved:
        head = ("workload", "on", "lever", "of its work", "USD a month", "", "evidence that would confirm it")
        text = "<p>Work is tokens or time of replicas. USD: at the plan's placements, where only whole lots count.</p>"
        out += ["<h3>Levers</h3>", text, _table(head, saved, frozenset((3, 4)))]
    return out


def _reasons(plan: Plan) -> list[str]:
    rows = [
        (each.workload, each.option, each.code, each.detail or REASONS[each.code],
         "" if each.usd_per_month is None else money(each.usd_per_month[1]), each.fix)
        for each in plan.verdicts[: ROWS_MAX * 4]
    ]  # fmt: skip
    head = ("workload", "option", "verdict", "why", "USD alone", "to change it")
    return [
        "<h2>Every option and why</h2><details><summary>Show</summary>",
        _table(head, rows, frozenset((4,))),
        "</details>",
    ]
