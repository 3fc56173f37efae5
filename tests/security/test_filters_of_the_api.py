"""Filters of the ledger are values: none is read as a part of a question, and none shows another tenant's rows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from harness import running
from signalbox.bootstrap.storage import open_store
from signalbox.core.errors import ConfigError
from signalbox.ledger.query import DIMENSIONS, query

FILTERS = ("tenant", "team", "key", "workload", "deployment", "environment", "label", "state", "since", "until")
VALUES = (
    "' OR '1'='1", "'; DROP TABLE attempts; --", "%", "_", "*", "\\", '"', "alpha'--", "alpha\0", "a" * 10_000, "",
    "alpha' UNION SELECT * FROM virtual_keys --", "$1", "?", "{}", "é\ud7ff", "1; SELECT 1", "null", "ALPHA", " alpha",
)  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
def test_no_filter_value_is_read_as_anything_but_a_value(tmp_path: Path, name: str) -> None:
    async def two_tenants() -> None:
        async with running(tmp_path) as box:
            for tenant in ("alpha", "beta"):
                key = await box.new_key(tenant=tenant)
                body = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]}
                assert (await box.request("/v1/chat/completions", body, key=key)).status == 200
            box.rows()
            store = open_store(box.state)
            try:
                for value in VALUES:
                    try:
                        rows = list(query(store, {"tenant": "alpha", name: value}))
                    except ConfigError:
                        continue
                    assert not any(row["tenant"] == "beta" for row in rows), value
                    if name == "tenant":
                        assert rows == [], value
                for value in (*VALUES, "tenant; --", "virtual_keys"):
                    with pytest.raises(ConfigError):
                        query(store, {}, group_by=value)
                for dimension in DIMENSIONS:
                    assert "beta" not in json.dumps(list(query(store, {"tenant": "alpha"}, group_by=dimension)))
                assert len(list(query(store, {}))) == 2
            finally:
                store.close()

    asyncio.run(two_tenants())
