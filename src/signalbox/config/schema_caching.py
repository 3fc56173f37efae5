"""Settings of caches, each with its unit, default and a sentence about it; part of config/schema.py."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

CacheTag = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
ToolName = Annotated[str, Meta(min_length=1, max_length=128)]
DAY_S = 86_400


class Cache(Struct, frozen=True, forbid_unknown_fields=True):
    """Which answers are kept, for whom and how long. Errors, answers that were cut, answers that call tools and answers
    to questions about now are never kept."""

    exact_ttl_s: Annotated[
        float,
        Meta(
            ge=0, le=365 * DAY_S, description="Seconds for which an answer serves the very same question; 0: never."
        ),
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
        Meta(
            max_length=256, description="Tools whose calls change nothing: answers calling them are kept too."
        ),
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


class Caches(Struct, frozen=True, forbid_unknown_fields=True):
    """What the caches of all workloads may take."""

    memory_bytes_max: Annotated[
        int, Meta(ge=1 << 16, le=1 << 40, description="Memory of each process for kept answers.")
    ] = 64 << 20
    disk_bytes_max: Annotated[
        int, Meta(ge=1 << 16, le=1 << 44, description="Disk in the state directory for kept answers of all processes.")
    ] = 512 << 20
