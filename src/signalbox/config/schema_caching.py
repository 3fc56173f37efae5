"""Settings of caches, each with its unit, default and a sentence about it; part of config/schema.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from signalbox.config.schema_words import PemName, PlaceName
from signalbox.core.secret import Secret

CacheTag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
ToolName = Annotated[str, Meta(min_length=1, max_length=128)]
DAY_S = 86_400


class SemanticCache(Struct, frozen=True, forbid_unknown_fields=True):
    """Answers for questions that mean the same as one that was answered before, under a bound on how often that is
    wrong."""

    error_share_max: Annotated[
        float,
        Meta(
            ge=0.001,
            le=0.5,
            description="Highest share of wrong answers among those that it gives, held at 95 % confidence; it stops "
            "giving any while that cannot be said.",
        ),
    ] = 0.02
    ttl_s: Annotated[float, Meta(gt=0, le=365 * DAY_S, description="How long an answer may be given, in seconds.")] = (
        DAY_S
    )
    embedding: Annotated[
        CacheTag | None,
        Meta(description="The deployment that turns questions into vectors; the built-in encoder when left out."),
    ] = None
    judge: Annotated[
        CacheTag | None,
        Meta(
            description="The deployment that says whether two answers to audited questions agree; when left out, only "
            "answers that say the same in the same words count as equal."
        ),
    ] = None
    audit_share: Annotated[
        float,
        Meta(gt=0, le=1, description="Share of the questions it could answer that are asked all the same, to know."),
    ] = 0.05
    questions_max: Annotated[
        int, Meta(ge=10, le=200_000, description="Questions that each process keeps of this workload.")
    ] = 50_000
    embed_chars_max: Annotated[int, Meta(ge=16, le=20_000, description="Longer questions are not looked up.")] = 2000


class Cache(Struct, frozen=True, forbid_unknown_fields=True):
    """Which answers are kept, for whom and how long. Errors, answers that were cut, answers that call tools and answers
    to questions about now are never kept."""

    exact_ttl_s: Annotated[
        float,
        Meta(ge=0, le=365 * DAY_S, description="Seconds for which an answer serves the very same question; 0: never."),
    ] = 0.0
    share: Annotated[
        Literal["user", "key", "team", "tenant"],
        Meta(
            description="Who may get an answer that was given before: the same end user of the same key, the same key, "
            "any key of the same team, any key of the tenant."
        ),
    ] = "key"
    data_max: Annotated[
        Literal["public", "internal", "confidential", "restricted"],
        Meta(description="The highest level of content that is kept."),
    ] = "internal"
    tags: Annotated[
        list[CacheTag], Meta(max_length=16, description="Names by which its answers can be invalidated.")
    ] = []
    safe_tools: Annotated[
        list[ToolName],
        Meta(max_length=256, description="Tools whose calls change nothing: answers calling them are kept too."),
    ] = []
    time_dependent: Annotated[
        bool, Meta(description="Keep answers to questions about now too, such as today's weather.")
    ] = False
    single_flight: Annotated[
        bool,
        Meta(
            description="Ask once for calls that are equal and under way at the same time; the others get the answer "
            "when it is whole. Only with `exact_ttl_s`."
        ),
    ] = True
    semantic: Annotated[
        SemanticCache | None, Meta(description="Answer questions that mean the same; never when left out.")
    ] = None


class Valkey(Struct, frozen=True, forbid_unknown_fields=True):
    """A Valkey or Redis server where the kept answers of all machines lie, sealed; without it each machine keeps its
    own. While it cannot be asked, nothing is given from caches."""

    url: Annotated[
        Secret,
        Meta(
            description="`valkey://user:password@host:6379/0`, `valkeys://` with TLS, `unix:///path?db=0`; `redis` and "
            "`rediss` mean the same. `${NAME}` reads an environment variable, `file:/path` a file."
        ),
    ]
    password: Annotated[
        Secret | None, Meta(description="Its password, where it does not stand in `url`: `${NAME}` or `file:/path`.")
    ] = None
    ca_file: Annotated[
        PemName | None,
        Meta(description="PEM file of the authorities that its certificate must chain to; the system's when left out."),
    ] = None
    timeout_ms: Annotated[
        float, Meta(ge=1, le=300, description="How long a call waits for it at most; then it counts as a miss.")
    ] = 20.0
    memory_bytes_max: Annotated[
        int, Meta(ge=1 << 16, le=1 << 44, description="What the entries of this installation may take there.")
    ] = 1 << 30


class Caches(Struct, frozen=True, forbid_unknown_fields=True):
    """What the caches of all workloads may take."""

    memory_bytes_max: Annotated[
        int, Meta(ge=1 << 16, le=1 << 40, description="Memory of each process for kept answers.")
    ] = 64 << 20
    disk_bytes_max: Annotated[
        int, Meta(ge=1 << 16, le=1 << 44, description="Disk in the state directory for kept answers of all processes.")
    ] = 512 << 20
    valkey: Annotated[
        Valkey | None, Meta(description="Where machines share exact answers; each has its own when left out.")
    ] = None
    encoder: Annotated[
        PlaceName | None,
        Meta(
            description="Folder of the text encoder that scripts/build_encoder.py wrote; without it semantic caches "
            "compare spellings. Needs the extra `embed`.",
        ),
    ] = None
