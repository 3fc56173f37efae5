"""Objects in a bucket that speaks S3: put, get and list, signed with AWS Signature Version 4.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import msgspec

from signalbox.config.address import origin_of
from signalbox.core.errors import UpstreamFault
from signalbox.upstream.ask import Asker, Heard
from signalbox.upstream.origin import authority_of

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEY = re.compile(r"<Key>([A-Za-z0-9._/%-]{1,1024})</Key>")
TRY_S = 10.0
LISTED_MAX = 100


class Bucket(msgspec.Struct, frozen=True):
    """Where objects go, and with which credential. As config.schema_ledger.Anchor, with its secrets as text."""

    url: str
    region: str
    access_key: str
    secret_key: str
    lock_days: int | None = None
    lock_mode: str = "COMPLIANCE"
    allow_private: bool | None = None
    ca_file: str | None = None


class Refused(Exception):
    """The object store did not do what it was asked. Its text holds no credential."""


class ObjectStore:
    """One prefix of one bucket. Names are made of letters, digits, `.`, `_`, `-` and `/`."""

    def __init__(self, bucket: Bucket) -> None:
        """Raises AddressProblem and ValueError for an address that cannot be used."""
        origin = origin_of(bucket.url, private=bucket.allow_private, ca_file=bucket.ca_file, proxy=None)
        authority = authority_of(origin.host, origin.port).decode("ascii")
        plain = origin.port == _DEFAULT_PORTS[origin.scheme]
        self._host = authority.rsplit(":", 1)[0] if plain else authority
        self._path = origin.path
        self._bucket = bucket
        self._asker = Asker(origin)

    async def put(self, name: str, body: bytes, now: datetime) -> None:
        """Raises Refused."""
        headers = {
            "content-type": "text/plain; charset=utf-8",
            "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        }
        if self._bucket.lock_days is not None:
            until = now + timedelta(days=self._bucket.lock_days)
            headers["x-amz-object-lock-mode"] = self._bucket.lock_mode
            headers["x-amz-object-lock-retain-until-date"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        await self._ask("PUT", f"{self._path}/{name}", {}, headers, body, now)

    async def get(self, name: str, now: datetime) -> bytes:
        """Raises Refused."""
        return (await self._ask("GET", f"{self._path}/{name}", {}, {}, b"", now)).body

    async def names(self, now: datetime) -> list[str]:
        """The first LISTED_MAX names in the order of names. Raises Refused."""
        # In the address of a bucket with a host name of its own the whole path is a prefix; else its first part names
        # the bucket.
        own_host = ".s3." in f"{self._host}." or ".s3-" in self._host
        bucket, _, prefix = ("", "", self._path.lstrip("/")) if own_host else self._path.lstrip("/").partition("/")
        query = {"list-type": "2", "max-keys": str(LISTED_MAX), "prefix": f"{prefix}/" if prefix else ""}
        heard = await self._ask("GET", f"/{bucket}", query, {}, b"", now)
        keys = _KEY.findall(heard.body.decode("utf-8", "replace"))
        return [key.removeprefix(f"{prefix}/" if prefix else "") for key in keys]

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Heard:
        asked = "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))
        signed = signed_headers(self._bucket, method, self._host, path, asked, headers, body, now)
        lines = [(name.encode(), value.encode()) for name, value in signed.items() if name != "host"]
        whole = f"{path}?{asked}" if asked else path
        try:
            heard = await self._asker.ask(method.encode(), whole.encode("ascii"), lines, body, TRY_S)
        except UpstreamFault as fault:
            raise Refused(f"the object store cannot be reached ({fault.kind})") from None
        if not 200 <= heard.status < 300:
            code = re.search(rb"<Code>([A-Za-z0-9]{1,64})</Code>", heard.body)
            raise Refused(f"the object store answered {heard.status}{f' {code[1].decode()}' if code else ''}")
        return heard

    def close(self) -> None:
        self._asker.close()


def signed_headers(
    bucket: Bucket,
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> dict[str, str]:
    """The headers of a request, `host` and the signature among them. path and query: as they are sent."""
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    all_headers = {**headers, "host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
    names = ";".join(sorted(all_headers))
    lines = "".join(f"{name}:{all_headers[name].strip()}\n" for name in sorted(all_headers))
    request = "\n".join((method, path, query, lines, names, digest))
    scope = f"{moment[:8]}/{bucket.region}/s3/aws4_request"
    text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{bucket.secret_key}".encode()
    for part in (moment[:8], bucket.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"{bucket.access_key}/{scope}"
    all_headers["authorization"] = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return all_headers
