"""A rollout's plan: which release, which devices in which order, and when a stage is good enough to go on.

Stages are cumulative over the devices that `target` matches: `"1"` means one device in all, `"25%"` a quarter of all in
all, a list names devices by id. The last stage is `"100%"` or a list; devices that no stage reaches are left alone. A
last `"100%"` after which nobody is left falls away: "one, then the rest" suits a fleet of one too.
Who comes first is decided by a hash of salt and device id, so it is the same in every rollout with the same salt.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from edgekit.errors import UsageFault
from edgekit.names import check_id, check_version

OnFail = Literal["rollback", "abort", "pause"]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]
_SHARE = re.compile(r"(?:([1-9][0-9]{0,7})|(100|[1-9]?[0-9](?:\.[0-9]{1,3})?)%)")
_MAX_STAGES = 100


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`devices`: a count ("1"), a share ("25%"), or device ids."""

    devices: str | list[str]


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which devices the plan is about: those that carry all of these tags; with no tags, every device."""

    tags: dict[str, str] = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator asks for.

    `soak_s`: how long a device must serve well before its update counts. `wait_max_s`: a stage is judged by then with
    what is known. `min_reported_ratio`: share of a stage's devices that must have ended. `max_bad_ratio`: see
    `fleet.rollout.gates`. `lost_after_s`: silence after activation that counts as bad. `approval`: wait for approve.
    """

    schema: Literal["edgekit.plan/1"] = "edgekit.plan/1"
    model: str
    version: str
    stages: Annotated[list[Stage], msgspec.Meta(min_length=1, max_length=_MAX_STAGES)]
    target: Target = Target()
    soak_s: Seconds = 60.0
    wait_max_s: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 3600.0
    min_reported_ratio: Ratio = 0.9
    max_bad_ratio: Ratio = 0.05
    lost_after_s: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 180.0
    on_fail: OnFail = "rollback"
    approval: bool = False
    salt: Annotated[str, msgspec.Meta(max_length=64)] = ""


def parse_plan(document: Any) -> Plan:
    """The checked plan (from parsed JSON or TOML). Raises UsageFault."""
    try:
        plan = msgspec.convert(document, Plan)
    except msgspec.ValidationError as error:
        raise UsageFault(f"the rollout plan is not usable: {error}", reason="bad_plan") from error
    check_id(plan.model, "model")
    check_version(plan.version)
    for number, stage in enumerate(plan.stages, 1):
        _check_stage(number, stage, last=number == len(plan.stages))
    return plan


def encode_plan(plan: Plan) -> str:
    """The plan as JSON text, for the database."""
    return msgspec.json.encode(plan).decode()


def decode_plan(text: str) -> Plan:
    """What `encode_plan` wrote."""
    return msgspec.json.decode(text, type=Plan)


def assign(plan: Plan, devices: Iterable[str]) -> list[list[str]]:
    """Devices of each stage, in id order; without the last stage when it is "the rest" and nobody is left.

    Raises UsageFault for an empty target, an empty stage, a stranger's id.
    """
    order = sorted(devices, key=lambda device: (_place(plan.salt, device), device))
    if not order:
        raise UsageFault(
            "no device matches the plan's target: see edgekit fleet devices list, or change the tags",
            reason="empty_target",
        )
    known, taken = frozenset(order), set[str]()
    stages = []
    for number, stage in enumerate(plan.stages, 1):
        members = _members(stage, order, known, taken)
        if not members and taken and number == len(plan.stages) and stage.devices == "100%":
            break
        if not members:
            raise UsageFault(
                f"stage {number} of the plan gets no device ({len(order)} match the target and earlier stages have "
                f"{len(taken)} of them): leave it out or make it larger",
                reason="empty_stage",
            )
        taken.update(members)
        stages.append(sorted(members))
    return stages


def _members(stage: Stage, order: list[str], known: frozenset[str], taken: set[str]) -> list[str]:
    if isinstance(stage.devices, list):
        for device in stage.devices:
            if device not in known:
                raise UsageFault(
                    f"the plan names device {device[:80]!r}, which is unknown, retired or outside the target",
                    reason="unknown_device",
                )
        return [device for device in dict.fromkeys(stage.devices) if device not in taken]
    wanted = _count(stage.devices, len(order)) - len(taken)
    free = [device for device in order if device not in taken]
    return free[: max(0, wanted)]


def _count(share: str, total: int) -> int:
    match = _SHARE.fullmatch(share)
    assert match is not None, "parse_plan let through what assign cannot read"
    if match[1]:
        return min(int(match[1]), total)
    return min(total, math.ceil(total * float(match[2]) / 100 - 1e-9))


def _place(salt: str, device: str) -> bytes:
    return hashlib.sha256(f"{salt}\0{device}".encode()).digest()


def _check_stage(number: int, stage: Stage, *, last: bool) -> None:
    if isinstance(stage.devices, list):
        for device in stage.devices:
            check_id(device, f"device of stage {number}")
    elif _SHARE.fullmatch(stage.devices) is None:
        raise UsageFault(
            f'stage {number} has devices {stage.devices[:40]!r}: give a count ("1"), a share ("25%") or a list of ids',
            reason="bad_plan",
        )
    elif last and stage.devices != "100%":
        raise UsageFault('the last stage must be "100%" or a list of device ids', reason="bad_plan")
