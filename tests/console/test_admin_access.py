"""Roles on the control plane: a matrix of every route and every role, and keys that never grow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from console_desk import NOW_MS, SECRET, Browser, Desk
from signalbox.console.access import MAY, OPEN
from signalbox.core.keys import ROLES
from signalbox.ledger import actions
from signalbox.ledger.verify import verify


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "state")
    yield made
    made.close()


def routes(desk: Desk) -> list[tuple[str, str]]:
    return desk.routes()


def test_the_table_and_the_router_name_the_same_routes(desk: Desk) -> None:
    assert set(routes(desk)) == {*MAY, *OPEN}


async def test_every_route_with_every_role(desk: Desk) -> None:
    """A wrong role is a 403 and does nothing; no credential, a wrong one and a key that calls models are a 401."""
    tokens = {role: desk.key(role=role, tenant="*" if role == "admin" else "default")[1] for role in ROLES}
    calling = desk.key()[1]
    forged = tokens["admin"][:-1] + ("0" if tokens["admin"][-1] != "0" else "1")
    for number, (method, path) in enumerate(routes(desk)):
        if not path.startswith("/api/") and path != "/metrics":
            continue
        target = path.replace("{id}", "nobody")
        for token in ("", "Bearer ", "Basic x", f"Bearer {calling}", f"Bearer {forged}", "Bearer sb-' OR 1=1 --"):
            assert (await desk.ask(method, target, token, address=f"10.2.3.{number}"))[0] == 401, (path, token)
        for role, token in tokens.items():
            before = desk.store.run_now(lambda store: len(store.list_keys()))
            status, _ = await desk.ask(
                method, target, f"Bearer {token}", {"name": "x"} if path == "/api/keys" else None
            )
            if role in MAY[(method, path)]:
                assert status not in (401, 403), (method, path, role)
            else:
                assert status == 403, (method, path, role)
                assert desk.store.run_now(lambda store: len(store.list_keys())) == before


async def test_every_page_with_every_role(desk: Desk) -> None:
    """A page sends strangers to the door, says 403 to a wrong role, and takes no form without its token."""
    await desk.loaded()
    pages = [(method, path) for method, path in MAY if not path.startswith("/api/") and path != "/metrics"]
    assert len(pages) > 3
    keys = {role: desk.key(role=role, tenant="*" if role == "admin" else "default") for role in ROLES}
    for method, path in pages:
        target = path.replace("{id}", "nobody").replace("{name}", "nobody")
        for cookies in ({}, {"cookie": "signalbox_session=forged"}, {"authorization": f"Bearer {SECRET}"}):
            answer = await desk.send(method, target, cookies)
            assert (answer.status, answer.headers["location"].split("?")[0]) == (303, "/sign-in"), (path, cookies)
        for role, (_, token) in keys.items():
            browser = await desk.browser(token)
            if method == "POST":
                stale = browser.csrf
                browser.csrf = "forged"
                assert (await browser.post(target, {})).status == 403, (path, role)
                browser.csrf = stale
            answer = await (browser.get(target) if method == "GET" else browser.post(target, {}))
            assert (answer.status == 403) == (role not in MAY[(method, path)]), (method, path, role, answer.text[-400:])
            assert answer.status < 500, (method, path, role, answer.text)


async def test_a_key_that_calls_models_opens_no_door(desk: Desk) -> None:
    browser = Browser(desk)
    for token in ("", "x", desk.key()[1], "sb-' OR 1=1 --", "<script>alert(1)</script>"):
        answer = await browser.sign_in(token)
        assert answer.status == 401, token
        assert not any("signalbox_session" in one for one in answer.cookies)


@pytest.mark.parametrize(
    "path", ["/api/keys/", "//api/keys", "/API/keys", "/api/%6beys", "/api/keys;a=b", "/api/x", "/api"]
)
async def test_no_other_spelling_is_a_route(desk: Desk, path: str) -> None:
    status, _ = await desk.ask("GET", path, f"Bearer {SECRET}")
    assert status in (307, 404)
    assert (await desk.ask("DELETE", "/api/keys", f"Bearer {SECRET}"))[0] == 405


BROADER: list[dict[str, Any]] = [
    {"workloads": ["w1", "w3"]},
    {"deployments": ["d2"]},
    {"deployments": ["*"]},
    {"apis": ["embeddings"]},
    {"models": ["m9"]},
    {"networks": ["0.0.0.0/0"]},
    {"networks": ["10.0.0.0/7"]},
    {"networks": ["::/0"]},
    {"budget_usd": "101"},
    {"expires_ms": NOW_MS + 10_000_000},
    {"tenant": "other"},
    {"tenant": "*"},
    {"team": "finance"},
    {"role": "admin"},
    {"role": "developer"},
    {"criticality": "interactive"},
]
SCOPE: dict[str, Any] = {
    "tenant": "acme", "team": "support", "workloads": ("w1", "w2"), "deployments": ("d1",), "data": ("phi",),
    "apis": ("chat", "messages"), "models": ("m1",), "networks": ("10.0.0.0/8",), "budget_usd": Decimal(100),
    "expires_ms": NOW_MS + 1_000_000, "role": "developer", "criticality": "batch",
}  # fmt: skip


@pytest.mark.parametrize("more", BROADER, ids=str)
async def test_a_child_is_never_broader_than_its_creator(desk: Desk, more: dict[str, Any]) -> None:
    creator, token = desk.key(**SCOPE)
    status, answer = await desk.ask("POST", "/api/keys", f"Bearer {token}", {"name": "child", **more})
    assert (status, answer["error"]["code"]) == (403, "too_broad")
    assert [row.id for row in desk.store.run_now(lambda store: store.list_keys())] == [creator]
    (refusal,) = actions.read(desk.state.journal)
    assert (refusal.actor, refusal.action, refusal.refused) == (creator, "key.create", True)


async def test_what_a_child_leaves_open_is_its_creators(desk: Desk) -> None:
    creator, token = desk.key(**SCOPE)
    narrow = {"name": "child", "networks": ["10.1.0.0/16"], "workloads": ["w2"], "data": ["pci"]}
    status, answer = await desk.ask("POST", "/api/keys", f"Bearer {token}", narrow)
    assert status == 201
    row = next(row for row in desk.store.run_now(lambda store: store.list_keys()) if row.id == answer["id"])
    assert (row.tenant, row.team, row.workloads, row.apis, row.models) == (
        "acme", "support", ("w2",), ("chat", "messages"), ("m1",)
    )  # fmt: skip
    assert (row.networks, row.labels, row.creator, row.role) == (("10.1.0.0/16",), ("phi", "pci"), creator, "")
    assert (row.budget_usd, row.expires_ms, row.deployments_granted) == (100, NOW_MS + 1_000_000, ())
    assert row.criticality == "batch"


async def test_an_admin_of_one_tenant_makes_keys_of_that_tenant_alone(desk: Desk) -> None:
    _, token = desk.key(tenant="acme", role="admin")
    for tenant in ("other", "*"):
        status, answer = await desk.ask("POST", "/api/keys", f"Bearer {token}", {"name": "x", "tenant": tenant})
        assert (status, answer["error"]["code"]) == (403, "too_broad")
    status, answer = await desk.ask("POST", "/api/keys", f"Bearer {token}", {"name": "x", "role": "admin"})
    assert status == 201
    row = next(row for row in desk.store.run_now(lambda store: store.list_keys()) if row.id == answer["id"])
    assert (row.tenant, row.role) == ("acme", "admin")


BROADER_KEYS: list[dict[str, Any]] = [
    {"workloads": ("w1", "w3")},
    {"workloads": ()},
    {"deployments": ("d2",)},
    {"data": ()},
    {"apis": ()},
    {"models": ("m9",)},
    {"networks": ("0.0.0.0/0",)},
    {"budget_usd": None},
    {"budget_usd": Decimal(101)},
    {"expires_ms": None},
    {"criticality": "interactive"},
    {"criticality": ""},
    {"team": "finance"},
]


@pytest.mark.parametrize("more", BROADER_KEYS, ids=str)
async def test_no_secret_of_a_broader_key_is_had_by_making_it_anew(desk: Desk, more: dict[str, Any]) -> None:
    """Whoever rotates a key sees its new secret. Revoking it takes nothing that is not theirs."""
    await desk.loaded()
    actor, token = desk.key(**{**SCOPE, "role": "admin"})
    broader, _ = desk.key(**{**SCOPE, "role": "", **more})
    status, answer = await desk.ask("POST", f"/api/keys/{broader}/rotate", f"Bearer {token}", {})
    assert (status, answer["error"]["code"]) == (403, "too_broad")
    (refusal,) = actions.read(desk.state.journal)
    assert (refusal.actor, refusal.action, refusal.target, refusal.refused) == (actor, "key.rotate", broader, True)
    browser = await desk.browser(token)
    await browser.get("/keys")
    page = await browser.post(f"/keys/{broader}/rotate", {"grace_s": "0"})
    assert "The key was not rotated" in page.text
    assert len(desk.store.run_now(lambda store: store.list_keys())) == 2
    narrower, _ = desk.key(**{**SCOPE, "role": "", "workloads": ("w2",), "data": ("pci", "phi")})
    for key_id in (narrower, actor):
        assert (await desk.ask("POST", f"/api/keys/{key_id}/rotate", f"Bearer {token}", {"grace_s": 60}))[0] == 201
    assert (await desk.ask("POST", f"/api/keys/{broader}/revoke", f"Bearer {token}"))[0] == 200


@pytest.mark.parametrize("extra", ["id", "secret_hmac", "created_ms", "revoked_ms", "is_admin", "allowed_routes"])
async def test_unknown_fields_are_refused_and_never_stored(desk: Desk, extra: str) -> None:
    status, _ = await desk.ask("POST", "/api/keys", f"Bearer {SECRET}", {"name": "x", extra: 1})
    assert status == 400
    assert desk.store.run_now(lambda store: store.list_keys()) == []
    key_id, _ = desk.key()
    assert (await desk.ask("POST", f"/api/keys/{key_id}/rotate", f"Bearer {SECRET}", {extra: 1}))[0] == 400
    assert len(desk.store.run_now(lambda store: store.list_keys())) == 1


async def test_nobody_says_who_has_made_a_key(desk: Desk) -> None:
    creator, _ = desk.key(role="developer")
    status, answer = await desk.ask("POST", "/api/keys", f"Bearer {SECRET}", {"name": "x", "creator": creator})
    assert (status, answer["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"name": 5}', b'{"name": "x", "role": "root"}', b'{"name": "x", "networks": ["10.0.0.1/8"]}',
     b'{"name": "x", "apis": ["all"]}', b'{"name": "\\u0000"}', b'{"name": "x", "expires_ms": 5}', b"\xff",
     b'{"name": "x", "budget_usd": "9000001"}', b'{"name": "x", "expires_ms": 253402300800000}',
     b'{"name": "x", "models": ["a\\u0000"]}', b'{"name": "a", "name": "b"}'],
)  # fmt: skip
async def test_bad_bodies_are_a_400(desk: Desk, body: bytes) -> None:
    assert (await desk.ask("POST", "/api/keys", f"Bearer {SECRET}", raw=body))[0] == 400


async def test_other_tenants_and_other_peoples_keys_do_not_exist(desk: Desk) -> None:
    theirs, _ = desk.key(tenant="other")
    ours, _ = desk.key(tenant="acme")
    _, operator = desk.key(tenant="acme", role="operator")
    mine, developer = desk.key(tenant="acme", role="developer")
    for token, ids in ((operator, (theirs, "nobody", "'; DROP TABLE virtual_keys")), (developer, (theirs, ours))):
        for key_id in ids:
            assert (await desk.ask("POST", f"/api/keys/{key_id}/revoke", f"Bearer {token}"))[0] == 404
    _, listed = await desk.ask("GET", "/api/keys", f"Bearer {developer}")
    assert [row["id"] for row in listed["keys"]] == [mine]
    _, listed = await desk.ask("GET", "/api/keys", f"Bearer {operator}")
    assert theirs not in {row["id"] for row in listed["keys"]}
    assert "secret_hmac" not in json.dumps(listed)


async def test_what_a_creator_gives_its_children_is_together_no_more_than_its_own(desk: Desk) -> None:
    creator, token = desk.key(**SCOPE)

    async def make(bearer: str, **more: Any) -> tuple[int, Any]:
        return await desk.ask("POST", "/api/keys", f"Bearer {bearer}", {"name": "child", **more})

    answers = await asyncio.gather(*(make(token, budget_usd="30") for _ in range(5)))
    assert sorted(status for status, _ in answers) == [201, 201, 201, 403, 403]
    (refused,) = {answer["error"]["message"] for status, answer in answers if status == 403}
    assert "of the creator's 100 USD its other keys have 90" in refused
    first = next(answer["id"] for status, answer in answers if status == 201)
    assert (await desk.ask("POST", f"/api/keys/{first}/revoke", f"Bearer {token}"))[0] == 200
    assert (await make(token, budget_usd="11"))[0] == 403
    status, rest = await make(token)
    assert status == 201
    assert (await make(token))[0] == 403
    # Neither with a child's nor with a creator's key made anew is there more to give.
    assert (await desk.ask("POST", f"/api/keys/{rest['id']}/rotate", f"Bearer {token}", {}))[0] == 201
    status, again = await desk.ask("POST", f"/api/keys/{creator}/rotate", f"Bearer {SECRET}", {})
    assert status == 201
    assert (await make(again["key"], budget_usd="1"))[0] == 403
    given = [row.budget_usd for row in desk.store.run_now(lambda store: store.list_keys()) if not row.purse]
    assert sorted(map(str, given)) == ["10", "100", "30", "30", "30"]


async def test_a_rotated_key_keeps_its_scope_and_the_old_one_its_grace(desk: Desk) -> None:
    old, _ = desk.key(**{**SCOPE, "role": ""})
    status, answer = await desk.ask("POST", f"/api/keys/{old}/rotate", f"Bearer {SECRET}", {"grace_s": 60})
    assert status == 201
    before, after = desk.store.run_now(lambda store: store.list_keys())
    assert before.expires_ms == NOW_MS + 60_000
    assert (after.id, after.workloads, after.models, after.networks, after.budget_usd, after.expires_ms) == (
        answer["id"], before.workloads, before.models, before.networks, 100, NOW_MS + 1_000_000
    )  # fmt: skip
    assert after.secret_hmac != before.secret_hmac
    assert (before.purse, after.purse) == ("", old)
    assert (await desk.ask("POST", f"/api/keys/{old}/rotate", f"Bearer {SECRET}", {"grace_s": -1}))[0] == 400


async def test_a_revoked_or_expired_role_key_ends_at_once(desk: Desk) -> None:
    mine, token = desk.key(role="operator")
    assert (await desk.ask("GET", "/api/status", f"Bearer {token}"))[0] == 200
    assert (await desk.ask("POST", f"/api/keys/{mine}/revoke", f"Bearer {token}"))[0] == 200
    assert (await desk.ask("GET", "/api/status", f"Bearer {token}"))[0] == 401
    gone, late = desk.key(role="operator", expires_ms=NOW_MS)
    assert (await desk.ask("GET", "/api/status", f"Bearer {late}"))[0] == 401
    assert gone


async def test_every_change_is_in_the_ledger_and_the_ledger_is_whole(desk: Desk) -> None:
    _, answer = await desk.ask("POST", "/api/keys", f"Bearer {SECRET}", {"name": "x", "tenant": "acme"})
    await desk.ask("POST", f"/api/keys/{answer['id']}/rotate", f"Bearer {SECRET}", {})
    await desk.ask("POST", f"/api/keys/{answer['id']}/revoke", f"Bearer {SECRET}")
    await desk.ask("POST", "/api/reload", f"Bearer {SECRET}")
    _, told = await desk.ask("GET", "/api/actions", f"Bearer {SECRET}")
    assert [one["action"] for one in told["actions"]] == ["key.create", "key.rotate", "key.revoke", "config.reload"]
    assert {one["actor"] for one in told["actions"]} == {"admin-secret"}
    assert answer["key"] not in json.dumps(told)
    assert verify(desk.state.journal).ok


async def test_guessing_the_admin_secret_is_slowed_down_and_keys_are_not(desk: Desk) -> None:
    """Of a key nobody can guess more than nothing; what may be a secret that somebody has thought out is held up."""
    _, operator = desk.key(role="operator")
    said = [(await desk.ask("GET", "/api/status", f"Bearer a guess {number}"))[0] for number in range(12)]
    assert said == [401] * 10 + [429] * 2
    assert (await desk.ask("GET", "/api/status", f"Bearer {SECRET}"))[0] == 429
    assert (await desk.ask("GET", "/api/status", f"Bearer {operator}"))[0] == 200
    assert (await desk.ask("GET", "/api/status", f"Bearer {SECRET}", address="10.9.9.9"))[0] == 200
    forged = operator[:-1] + ("0" if operator[-1] != "0" else "1")
    said = [(await desk.ask("GET", "/api/status", f"Bearer {forged}", address="10.8.8.8"))[0] for _ in range(30)]
    assert said == [401] * 30
    assert (await desk.ask("GET", "/api/status", f"Bearer {SECRET}", address="10.8.8.8"))[0] == 200
