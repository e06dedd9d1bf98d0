"""`tallystick rotation plan`: run a rotation in virtual time over the Devices as they are, and print its course."""

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import ValidationError

from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.fleet.client.rotation_access import Access, RotationError, devices_of, rotations_of, target_named
from tallystick.fleet.domain.facts import DeviceFacts
from tallystick.fleet.domain.plan.advice import warnings
from tallystick.fleet.domain.plan.forecast import NoPlan, Plan, make_plan
from tallystick.fleet.domain.plan.shown import (
    COLUMNS,
    ending,
    enrolled_by_ended_value,
    heading,
    notes,
    rows,
    suspects_text,
)
from tallystick.fleet.domain.plan.texts import table_text
from tallystick.fleet.domain.readings import rotation_facts
from tallystick.objects.ports import AlreadyExistsError, Cluster, ClusterError, Json, NotFoundError
from tallystick.pairing.api.device_project import FINISHED
from tallystick.runtime.stopping import run_async, undone_by_signals
from tallystick.schema.meta import DNS_SUBDOMAIN
from tallystick.schema.times import rfc3339, time_or_age

_STANDARD_INPUT = "-"
_FILE_ENDINGS = (".yaml", ".yml", ".json")
_LONGEST_TEXT = 1024 * 1024
_REVOKED = '{"spec": {"revoked": true}}'


def print_plan(what: str, access: Access, *, unseen_days: int, enrolled_since: str | None) -> None:
    """Print the plan of a file or of a stored rotation; raises RotationError."""
    now = datetime.now(UTC)
    since = time_of(enrolled_since, now) if enrolled_since is not None else None
    with undone_by_signals():
        run_async(_print(what, access, now, timedelta(days=unseen_days), since))


async def _print(what: str, access: Access, now: datetime, unseen: timedelta, since: datetime | None) -> None:
    try:
        async with access.cluster() as cluster:
            rotation = await read_rotation(cluster, what, access.chosen_namespace())
            if rotation.status.state in FINISHED:
                print(_finished(rotation))
                return
            plan, names = await plan_of(cluster, rotation, now=now, unseen=unseen)
    except ClusterError as error:
        raise RotationError(f"the rotation cannot be planned: {error}") from error
    print(plan_text(plan, names, since))


async def plan_of(
    cluster: Cluster, rotation: TokenRotation, *, now: datetime, unseen: timedelta
) -> tuple[Plan, dict[str, str]]:
    """Read the objects of a rotation and plan it. Return the plan, and the names of the devices for people.

    Raises:
        ClusterError: The API server rejects a request, or does not respond.
        RotationError: The rotation cannot run.
    """
    facts = rotation_facts(rotation)
    target = await target_named(cluster, rotation.metadata.namespace, rotation.spec.target_ref.name)
    others = [other for other in await rotations_of(cluster, target) if other.name != facts.name]
    devices: list[DeviceFacts] = []
    names: dict[str, str] = {}
    async for device, name in devices_of(cluster, target):
        devices.append(device)
        if name:
            names[device.name] = name
    plan = make_plan(facts, target, devices, others, now=now, unseen=unseen)
    if isinstance(plan, NoPlan):
        raise RotationError(f"TokenRotation {target.namespace}/{facts.name} cannot run: {plan.why}")
    return plan, names


def plan_text(plan: Plan, names: Mapping[str, str], since: datetime | None) -> str:
    """Return the text of a plan.

    Args:
        plan: The plan.
        names: The names of the devices for people; not every device has one.
        since: The time from which on the enrollments are listed; None for no list.
    """
    lines = [heading(plan), "", table_text(COLUMNS, rows(plan)), "", ending(plan), *notes(plan)]
    lines += [f"warning: {text}" for text in warnings(plan)]
    if plan.rotation.compromised or since is not None:
        lines += _suspects(plan, names, since)
    return "\n".join(lines)


def _suspects(plan: Plan, names: Mapping[str, str], since: datetime | None) -> list[str]:
    found = enrolled_by_ended_value(plan, since)
    lines = ["", suspects_text(len(found), since)]
    if since is None or not found:
        return lines
    of_devices = [
        (
            one.name,
            names.get(one.name, ""),
            rfc3339(one.created),
            rfc3339(one.last_seen) if one.last_seen is not None else "never",
            "yes" if one.key_thumbprint else "no",
        )
        for one in found
    ]
    return [
        *lines,
        "",
        table_text(("DEVICE", "NAME", "ENROLLED", "LAST SEEN", "KEY"), of_devices),
        "",
        f"To revoke one: kubectl patch device DEVICE -n {plan.target.namespace} --type merge -p '{_REVOKED}'",
    ]


def _finished(rotation: TokenRotation) -> str:
    message = next((one.message for one in rotation.status.conditions if one.type == "Succeeded"), "")
    meta = rotation.metadata
    return f"TokenRotation {meta.namespace}/{meta.name} is over: {rotation.status.state}: {message}"


async def read_rotation(cluster: Cluster, what: str, namespace: str) -> TokenRotation:
    """Return the rotation of a file or of a name; raises RotationError."""
    if what == _STANDARD_INPUT or "/" in what or what.endswith(_FILE_ENDINGS):
        return await _of_file(cluster, what, namespace)
    if not re.fullmatch(DNS_SUBDOMAIN, what):
        raise RotationError(f"{what} is neither the name of a TokenRotation nor a file of YAML; correct it")
    try:
        return TokenRotation.model_validate(await cluster.get(TOKEN_ROTATIONS, namespace, what))
    except NotFoundError as error:
        raise RotationError(
            f"TokenRotation {namespace}/{what} does not exist; set --namespace, or give the file that you will apply"
        ) from error


async def _of_file(cluster: Cluster, file: str, namespace: str) -> TokenRotation:
    """Return the rotation of a file as the API server would store it: it runs all rules, and stores nothing."""
    body = _body(file)
    body.setdefault("metadata", {}).setdefault("namespace", namespace)
    try:
        return TokenRotation.model_validate(await cluster.create(TOKEN_ROTATIONS, body, dry_run=True))
    except AlreadyExistsError:
        meta = body["metadata"]
        stored = await cluster.get(TOKEN_ROTATIONS, meta["namespace"], meta["name"])
    try:
        return TokenRotation.model_validate({**stored, "spec": body.get("spec")})
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise RotationError(f"{file}: {place} is not valid; correct it") from None


def _body(file: str) -> Json:
    text = _read(file)
    try:
        documents: list[Any] = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise RotationError(f"{file} is not YAML: see line {mark.line + 1 if mark is not None else 1}") from None
    found: list[Json] = [one for one in documents if isinstance(one, dict) and one.get("kind") == TOKEN_ROTATIONS.kind]
    if len(found) != 1:
        raise RotationError(f"{file} must contain one TokenRotation, and contains {len(found)}; give another file")
    if not isinstance(found[0].get("metadata", {}), dict):
        raise RotationError(f"{file}: metadata is not valid; correct it")
    return found[0]


def _read(file: str) -> str:
    try:
        if file == _STANDARD_INPUT:
            text = sys.stdin.read(_LONGEST_TEXT + 1)
        else:
            with Path(file).open(encoding="utf-8") as stream:
                text = stream.read(_LONGEST_TEXT + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RotationError(f"{file} cannot be read: {reason}; give another file") from error
    if len(text) > _LONGEST_TEXT:
        raise RotationError(
            f"{file} has more than {_LONGEST_TEXT} characters; give a file with the TokenRotation alone"
        )
    return text


def time_of(text: str, now: datetime) -> datetime:
    """Read a time, or a duration that ends now."""
    try:
        return time_or_age(text, now)
    except ValueError:
        raise typer.BadParameter(
            "--enrolled-since must be a time such as 2026-11-30T08:00:00Z, or a duration such as 48h"
        ) from None
