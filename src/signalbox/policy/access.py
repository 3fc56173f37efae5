"""What a key may name: from the model and workload that a client asks for to a workload and, rarely, a deployment."""

from __future__ import annotations

from signalbox.core.call import Principal
from signalbox.core.errors import BadRequest, NotFound
from signalbox.core.snapshot import Deployment, Snapshot, Workload

AUTO = "auto"
# In place of deployment names: a grant for every one of them.
EVERY = "*"


def resolve(
    snapshot: Snapshot, principal: Principal, model: str, workload_header: str | None
) -> tuple[Workload, Deployment | None]:
    """The workload a call runs in, and the deployment it is pinned to when one was named and granted.

    A deployment never leaves its caller's workload behind: its floor, guards and budget still hold. Names that do not
    exist and names this key may not use are told apart for nobody.
    """
    name = snapshot.aliases.get(model, model)
    kind = snapshot.names.get(name)
    if workload_header is not None:
        workload = _workload(snapshot, principal, workload_header, header=True)
        pinned = _deployment(snapshot, principal, name) if kind == "deployment" else None
        if kind == "workload" and name != workload_header:
            raise BadRequest(
                f"The model names workload {model!r} but x-signalbox-workload names {workload_header!r}. Send one.",
                param="model",
            )
        return workload, pinned
    if kind == "workload":
        return _workload(snapshot, principal, name, header=False), None
    if kind == "deployment":
        return _default(snapshot, principal), _deployment(snapshot, principal, name)
    if model == AUTO:
        return _default(snapshot, principal), None
    raise _unknown(model)


def may_use(snapshot: Snapshot, principal: Principal, workload: str) -> bool:
    """Whether the key and its team both allow it. A key without a list may use all of its team's."""
    if principal.workloads is not None and workload not in principal.workloads:
        return False
    of_team = snapshot.teams.get(principal.team)
    return not of_team or workload in of_team


def may_name(principal: Principal, deployment: str) -> bool:
    """Whether the key was granted this deployment by name, or all of them."""
    return deployment in principal.deployments or EVERY in principal.deployments


def of_models(snapshot: Snapshot, models: frozenset[str]) -> int:
    """The deployments that a key limited to some models may reach: by the deployment's name or its model's."""
    allowed = 0
    for deployment in snapshot.deployments:
        if deployment.name in models or deployment.model in models:
            allowed |= 1 << deployment.index
    return allowed


def _default(snapshot: Snapshot, principal: Principal) -> Workload:
    """The key's own default and nothing else where it has one; otherwise the configuration's, or the first of the file
    that the key may use."""
    if principal.default_workload is not None:
        names = (principal.default_workload,)
    else:
        names = (snapshot.default_workload, *snapshot.workloads)
    for name in names:
        workload = snapshot.workloads.get(name)
        if workload is not None and may_use(snapshot, principal, name):
            return workload
    raise NotFound("This key has no workload in the current configuration.", code="workload_not_found")


def _workload(snapshot: Snapshot, principal: Principal, name: str, *, header: bool) -> Workload:
    workload = snapshot.workloads.get(name)
    if workload is None or not may_use(snapshot, principal, name):
        if header:
            raise NotFound(
                f"The workload {name[:128]!r} does not exist or this key may not use it.",
                param="x-signalbox-workload",
                code="workload_not_found",
            )
        raise _unknown(name)
    return workload


def _deployment(snapshot: Snapshot, principal: Principal, name: str) -> Deployment:
    if not may_name(principal, name):
        raise _unknown(name)
    return snapshot.deployment_by_name[name]


def _unknown(model: str) -> NotFound:
    return NotFound(
        f"The model {model[:128]!r} does not exist or this key may not use it. GET /v1/models lists what it may use.",
        param="model",
        code="model_not_found",
    )
