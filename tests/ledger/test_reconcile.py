"""A provider's bill against the ledger, the month's forecast, and the export: exact sums from files as they come."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.cli.main import main
from signalbox.core.attempts import AttemptFilter, AttemptRow
from signalbox.core.errors import ConfigError
from signalbox.core.ports import ShipMark
from signalbox.core.records import Opened, Settled
from signalbox.ledger.forecast import forecast
from signalbox.ledger.provider_export import Charge, read_export
from signalbox.ledger.reconcile import BY, UNATTRIBUTED, Reconciliation, reconcile
from signalbox.store.sqlite import SqliteStore

DAY_MS = 86_400_000
FIRST_MS = 1_790_035_200_000  # 2026-09-22T00:00:00Z


@pytest.fixture
def rows(tmp_path: Path, opened: Callable[..., Opened], settled: Callable[..., Settled]) -> list[AttemptRow]:
    """Ten days of twenty attempts, through a real store."""
    records: list[Opened | Settled] = []
    for number in range(200):
        changes = {
            "time_ms": FIRST_MS + number // 20 * DAY_MS + number % 20 * 1000,
            "model": ("gpt-4o-2024-08-06", "claude-sonnet-4-5")[number % 2],
            "team": ("support", "")[number % 3 == 0],
            "user": f"u{number % 4}" if number % 5 else "",
            "tags": ("red", "blue")[: number % 3],
        }
        records.append(opened(f"a{number}", **changes))
        records.append(settled(f"a{number}", cost_pico=10**10 * (number + 1)))
    with closing(SqliteStore(tmp_path / "s.db")) as store:
        store.ship(None, ShipMark("w", 1, 1, 1, "0" * 64), records)
        return list(store.attempts(AttemptFilter()))


def bill(rows: list[AttemptRow]) -> list[Charge]:
    """What a provider would charge for them, one line each."""
    return [
        Charge(number, date.fromordinal(719_163 + row.time_ms // DAY_MS).isoformat(), row.model,
               Decimal(row.cost_pico or 0) / 10**12)
        for number, row in enumerate(rows, start=2)
    ]  # fmt: skip


def sums_are_equal(found: Reconciliation) -> None:
    for dimension in BY:
        total = sum((Decimal(cost) for cost in found.groups[dimension].values()), Decimal(0))
        assert total == Decimal(found.explained_usd), dimension


def test_a_bill_for_what_is_in_the_ledger_is_explained_whole(rows: list[AttemptRow]) -> None:
    found = reconcile(bill(rows), rows)
    assert (found.explained_share, found.good, found.unexplained) == ("1", True, ())
    assert found.explained_usd == found.billed_usd == found.ledger_usd == "201"
    sums_are_equal(found)
    assert UNATTRIBUTED in found.groups["team"]
    assert UNATTRIBUTED in found.groups["user"]
    assert set(found.groups["tag"]) == {"red", UNATTRIBUTED}


def test_what_nothing_explains_is_listed_with_its_lines(rows: list[AttemptRow]) -> None:
    extra = [
        Charge(900, "2026-09-23", "gpt-4o", Decimal("0.50")),
        Charge(901, "2026-09-23", "whisper-1", Decimal("0.30")),
        Charge(902, "2026-11-01", "gpt-4o", Decimal("0.10")),
    ]
    found = reconcile([*bill(rows), *extra], rows)
    assert [(one.day, one.model, one.difference_usd) for one in found.unexplained] == [
        ("2026-09-23", "gpt-4o", "0.5"), ("2026-09-23", "whisper-1", "0.3"), ("2026-11-01", "gpt-4o", "0.1")
    ]  # fmt: skip
    assert found.unexplained[1].lines == (901,)
    assert "no call" in found.unexplained[1].why
    assert found.good
    assert Decimal(found.explained_usd) == 201
    sums_are_equal(found)


def test_a_call_that_was_not_billed_is_listed(rows: list[AttemptRow]) -> None:
    found = reconcile(bill(rows)[:-1], rows)
    (one,) = found.unexplained
    assert one.difference_usd == "-2"
    assert "more than was billed" in one.why
    sums_are_equal(found)


def test_a_bill_that_is_a_day_off_at_midnight_is_still_explained(rows: list[AttemptRow]) -> None:
    late = [Charge(c.line, c.day, c.model, c.cost_usd) for c in bill(rows)]
    late[19] = Charge(late[19].line, "2026-09-23", late[19].model, late[19].cost_usd)
    found = reconcile(late, rows)
    assert (found.explained_share, found.unexplained) == ("1", ())
    sums_are_equal(found)


def test_ids_that_come_back_win_over_days(rows: list[AttemptRow]) -> None:
    strange = [Charge(2, "2020-01-01", "Model Name", Decimal(rows[3].cost_pico or 0) / 10**12, rows[3].attempt_id)]
    found = reconcile(strange, rows)
    assert found.explained_share == "1"


def test_a_bad_bill_is_not_good(rows: list[AttemptRow]) -> None:
    assert not reconcile([Charge(2, "2026-09-23", "other", Decimal(5))], rows).good


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**6)), max_size=30))
def test_whatever_is_billed_the_parts_add_up(parts: list[tuple[int, int]]) -> None:
    charges = [Charge(n, f"2026-09-{22 + d % 8}", "m", Decimal(c) / 10**4) for n, (d, c) in enumerate(parts)]
    found = reconcile(charges, [])
    rest = sum((Decimal(one.difference_usd) for one in found.unexplained), Decimal(0))
    assert Decimal(found.billed_usd) - rest - Decimal(found.explained_usd) < Decimal("0.01") * (len(parts) + 1)


FOCUS = """BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ServiceName,SkuId
1.50,USD,Usage,2026-09-22T00:00:00Z,2026-09-23T00:00:00Z,OpenAI,gpt-4o
0.20,USD,Tax,2026-09-22T00:00:00Z,2026-09-23T00:00:00Z,OpenAI,
"""
PLAIN = "\ufeffDate,Model Name,Amount USD\n2026-09-22,gpt-4o,$1,234.50\n"


def test_focus_and_plain_exports_are_read(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(FOCUS)
    assert read_export(path) == [
        Charge(2, "2026-09-22", "gpt-4o", Decimal("1.50")),
        Charge(3, "2026-09-22", "(tax)", Decimal("0.20")),
    ]
    path.write_text(PLAIN.replace("$1,234.50", '"$1,234.50"'))
    assert read_export(path) == [Charge(2, "2026-09-22", "gpt-4o", Decimal("1234.50"))]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no column for cost, time, model"),
        ("date,model\n", "no column for cost"),
        ("date,model,cost\nyesterday,m,1\n", ":2: 'yesterday' is no date"),
        ("date,model,cost\n2026-09-22,m,much\n", ":2: 'much' is no amount"),
        ("date,model,cost\n2026-09-22,m,NaN\n", "no ordinary amount"),
        ("date,model,cost,currency\n2026-09-22,m,1,EUR\n", "export it in USD"),
        ('date,model,cost\n"' + "x" * 70000, "no CSV"),
    ],
)
def test_what_is_no_export_is_refused_with_its_line(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "export.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=part):
        read_export(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_export(tmp_path / "none.csv")
    path.write_bytes(b"date,model,cost\n\xff\xfe")
    with pytest.raises(ConfigError, match="no CSV"):
        read_export(path)


def days(*costs: int, last: date = date(2026, 11, 19)) -> dict[str, Decimal]:
    return {date.fromordinal(last.toordinal() - n).isoformat(): Decimal(c) for n, c in enumerate(reversed(costs))}


def test_even_spending_is_projected_without_spread() -> None:
    told = forecast(days(*[10] * 28), date(2026, 11, 20), 0.0)
    assert (told.spent_usd, told.a_day_usd) == ("190.000000", "10.000000")
    assert (told.projected_usd, told.low_usd, told.high_usd) == ("300.000000",) * 3


def test_uneven_spending_widens_the_interval_and_never_below_what_is_spent() -> None:
    told = forecast(days(*[0, 20] * 14), date(2026, 11, 20), 0.5)
    assert told.low_usd is not None
    assert told.high_usd is not None
    assert Decimal(told.spent_usd) <= Decimal(told.low_usd) < Decimal(told.projected_usd) < Decimal(told.high_usd)


def test_few_days_give_no_interval_and_none_gives_nothing() -> None:
    told = forecast(days(4), date(2026, 11, 20), 0.5)
    assert (told.low_usd, told.high_usd, told.days) == (None, None, 1)
    assert forecast({}, date(2026, 2, 28), 1.0).projected_usd == "0.000000"
    assert forecast({"2026-11-20": Decimal(6)}, date(2026, 11, 20), 0.5).a_day_usd == "12.000000"


def test_the_command_line(tmp_path: Path, fill: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    fill(state / "journal", "a", 10)
    export = tmp_path / "bill.csv"
    cost = Decimal(10 * (80 * 150_000 + 20 * 75_000 + 40 * 600_000)) / 10**12
    export.write_text(f"date,model,cost\n2026-09-21,tiny-1,{cost}\n")
    where = ["--state-dir", str(state), "--json"]
    assert main(["ledger", "reconcile", "--import", str(export), *where]) == 0
    assert json.loads(capsys.readouterr().out)["explained_share"] == "1"
    export.write_text("date,model,cost\n2026-09-21,tiny-1,9\n")
    assert main(["ledger", "reconcile", "--import", str(export), *where]) == 1
    capsys.readouterr()
    assert main(["ledger", "forecast", *where]) == 0
    assert json.loads(capsys.readouterr().out)["days"] >= 1
    pyarrow = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "out.parquet"
    assert main(["ledger", "export", "--parquet", str(target), *where]) == 0
    table = pyarrow.read_table(target).to_pydict()
    assert len(table["attempt_id"]) == 10
    assert sum(table["cost_usd"]) == cost
    assert table["labels"][0] == ["confidential", "personal"]
    assert main(["ledger", "export", "--parquet", str(tmp_path / "no" / "x"), *where]) == 2
