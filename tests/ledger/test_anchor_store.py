"""Checkpoints in an object store: a small one that speaks S3 over a real socket and checks every signature itself."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from signalbox.cli.main import main
from signalbox.config.address import AddressProblem
from signalbox.control.anchoring import Anchoring, anchored
from signalbox.control.object_store import Bucket, ObjectStore, Refused, signed_headers
from signalbox.core.ports import ShipMark
from signalbox.ledger import checkpoint, checkpoint_check, signed_note

ACCESS, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1"


class Buckets:
    """Objects by path, with what was asked of each. status: answered instead, when it is not 0."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.status = 0
        self.port = 0

    def url(self, prefix: str = "box1") -> str:
        return f"http://127.0.0.1:{self.port}/anchors/{prefix}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.rstrip().split("\r\n")
            method, target, _ = request.split(" ")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            status, answer = self._answer(method, target, headers, body)
            writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%b" % (status, len(answer), answer))
            await writer.drain()
        finally:
            writer.close()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.asked.append(f"{method} {target}")
        if self.status:
            return self.status, b"<Error><Code>SlowDown</Code></Error>"
        if not self._signed(method, target, headers, body):
            return 403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
        path = urlsplit(target).path
        if method == "PUT":
            self.objects[path] = body
            self.headers[path] = headers
            return 200, b""
        if path == "/anchors":
            prefix = dict(parse_qsl(urlsplit(target).query)).get("prefix", "")
            keys = sorted(key.removeprefix("/anchors/") for key in self.objects)
            found = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys if key.startswith(prefix))
            return 200, f"<ListBucketResult>{found}</ListBucketResult>".encode()
        return (200, self.objects[path]) if path in self.objects else (404, b"<Error><Code>NoSuchKey</Code></Error>")

    def _signed(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bool:
        """As the service itself would work it out, from what arrived and the secret that it knows."""
        fields = dict(part.strip().split("=", 1) for part in headers["authorization"].partition(" ")[2].split(","))
        date = headers["x-amz-date"]
        now = datetime.now(UTC)
        if abs((datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) - now).total_seconds()) > 900:
            return False
        parts = urlsplit(target)
        query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(parse_qsl(parts.query)))
        names = fields["SignedHeaders"].split(";")
        if "host" not in names or any(name not in names for name in headers if name.startswith("x-amz-")):
            return False
        digest = hashlib.sha256(body).hexdigest()
        text = "\n".join(
            [method, parts.path, query, *(f"{n}:{headers[n]}" for n in names), "", ";".join(names), digest]
        )
        scope = f"{date[:8]}/{REGION}/s3/aws4_request"
        key = f"AWS4{SECRET}".encode()
        for word in scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        told = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(text.encode()).hexdigest()}"
        right = hmac.new(key, told.encode(), "sha256").hexdigest()
        return (
            fields["Credential"] == f"{ACCESS}/{scope}"
            and fields["Signature"] == right
            and headers["x-amz-content-sha256"] == digest
        )


@pytest.fixture
async def buckets() -> AsyncIterator[Buckets]:
    served = Buckets()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()
    await server.wait_closed()


def _bucket(buckets: Buckets, **changes: object) -> Bucket:
    words: dict[str, object] = {
        "url": buckets.url(), "region": REGION, "access_key": ACCESS, "secret_key": SECRET, "allow_private": True,
    }  # fmt: skip
    return Bucket(**(words | changes))  # type: ignore[arg-type]


def _checkpoints(directory: Path, count: int) -> signed_note.PublicKey:
    log = checkpoint.CheckpointLog(directory)
    start = sum(1 for _ in (directory / checkpoint.NOTES).open()) if (directory / checkpoint.NOTES).exists() else 0
    for number in range(start + 1, start + count + 1):
        log.write([ShipMark("a", 1, number, number, f"{number:064x}")], number)
    log.close()
    return log.public


def test_the_signature_is_that_of_the_published_example() -> None:
    """GET Object, from the documentation of Signature Version 4: known inputs, known output."""
    bucket = Bucket("https://examplebucket.s3.amazonaws.com", "us-east-1", "AKIAIOSFODNN7EXAMPLE",
                    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")  # fmt: skip
    now = datetime(2013, 5, 24, tzinfo=UTC)
    host, ranged = "examplebucket.s3.amazonaws.com", {"range": "bytes=0-9"}
    told = signed_headers(bucket, "GET", host, "/test.txt", "", ranged, b"", now)
    assert told["authorization"].endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


async def test_the_newest_note_goes_once_and_is_read_back(buckets: Buckets, tmp_path: Path) -> None:
    key = _checkpoints(tmp_path, 3)
    anchoring = Anchoring(tmp_path, _bucket(buckets, lock_days=30))
    await anchoring.once()
    await anchoring.once()
    (path,) = buckets.objects
    assert path == f"/anchors/box1/{key.name}/{10**12 - 1 - 3:012d}-3.note"
    headers = buckets.headers[path]
    assert headers["x-amz-object-lock-mode"] == "COMPLIANCE"
    until = datetime.fromisoformat(headers["x-amz-object-lock-retain-until-date"])
    assert 29 <= (until - datetime.now(UTC)).days <= 30
    _checkpoints(tmp_path, 9)
    await anchoring.close()
    notes = await anchored(_bucket(buckets))
    sizes = [note.size for line in notes if (note := key.open(json.loads(line))) is not None]
    assert sizes == [12, 3]  # the newest first
    assert not checkpoint_check.check(tmp_path, key, {"bucket": notes}).problems


async def test_a_rollback_is_told_by_the_object_store(buckets: Buckets, tmp_path: Path) -> None:
    key = _checkpoints(tmp_path, 2)
    old = {name: (tmp_path / name).read_bytes() for name in (checkpoint.NOTES, checkpoint.STATEMENTS)}
    _checkpoints(tmp_path, 2)
    await Anchoring(tmp_path, _bucket(buckets)).once()
    for name, text in old.items():
        (tmp_path / name).write_bytes(text)
    problems = checkpoint_check.check(tmp_path, key, {"bucket": await anchored(_bucket(buckets))}).problems
    assert [problem.kind for problem in problems] == ["rollback"]


@pytest.mark.parametrize("changes", [{"secret_key": "wrong"}, {"access_key": "other"}, {"region": "us-east-1"}])
async def test_a_wrong_credential_is_told_without_repeating_it(
    buckets: Buckets, tmp_path: Path, changes: dict[str, str]
) -> None:
    _checkpoints(tmp_path, 1)
    anchoring = Anchoring(tmp_path, _bucket(buckets, **changes))
    await anchoring.once()
    assert anchoring.error == "the object store answered 403 SignatureDoesNotMatch"
    assert not buckets.objects


async def test_what_is_down_is_tried_again(buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalbox.control.anchoring.EVERY_S", 0.01)
    _checkpoints(tmp_path, 1)
    buckets.status = 503
    anchoring = Anchoring(tmp_path, _bucket(buckets))
    running = asyncio.ensure_future(anchoring.run())
    async with asyncio.timeout(30):
        while len(buckets.asked) < 3:
            await asyncio.sleep(0.01)
        assert anchoring.error == "the object store answered 503 SlowDown"
        buckets.status = 0
        while not buckets.objects or anchoring.error:
            await asyncio.sleep(0.01)
    running.cancel()
    nobody = Anchoring(tmp_path, _bucket(buckets, url="http://127.0.0.1:1/anchors"))
    await nobody.once()
    assert "cannot be reached" in nobody.error


async def test_an_address_that_must_not_be_asked_is_not(buckets: Buckets, tmp_path: Path) -> None:
    _checkpoints(tmp_path, 1)
    store = ObjectStore(_bucket(buckets, url=f"http://localtest.invalid:{buckets.port}/a", allow_private=None))
    with pytest.raises(Refused):
        await store.put("x", b"", datetime.now(UTC))
    with pytest.raises(AddressProblem, match="link-local"):
        ObjectStore(_bucket(buckets, url="http://169.254.169.254/latest"))
    assert not buckets.asked


async def test_the_command_line_reads_the_object_store_of_the_configuration(
    buckets: Buckets, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANCHOR_SECRET", SECRET)
    anchor = {"url": buckets.url(), "region": REGION, "access_key": ACCESS, "secret_key": "${ANCHOR_SECRET}"}
    config = tmp_path / "signalbox.yaml"
    house = {
        "environments": {"dc": {"kind": "on-prem", "region": "eu/de"}},
        "deployments": {
            "m": {
                "environment": "dc", "protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m",
                "price": "free",
            }
        },
    }  # fmt: skip
    config.write_text(json.dumps(house | {"ledger": {"anchor": anchor | {"allow_private": True}}}))
    state = tmp_path / "state"
    _checkpoints(state / "checkpoints", 2)
    await Anchoring(state / "checkpoints", _bucket(buckets)).once()
    (state / "journal").mkdir()
    where = ["--config", str(config), "--state-dir", str(state)]
    verb = ["ledger", "verify", *where, "--anchor", "object-store", "--json"]
    assert await asyncio.to_thread(main, verb) == 1
    kinds = {found["kind"] for found in json.loads(capsys.readouterr().out)["findings"]}
    assert kinds == {"missing_chain"}  # the checkpoints vouch for a chain that was never there
    (state / "checkpoints" / checkpoint.NOTES).write_bytes(b"")
    assert await asyncio.to_thread(main, verb) == 1
    kinds = {found["kind"] for found in json.loads(capsys.readouterr().out)["findings"]}
    assert "rollback" in kinds
