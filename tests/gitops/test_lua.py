"""Health and actions for Argo CD: each kind has them, and each state gets the ones that the README promises."""

import itertools
from typing import Any

import pytest
import yaml

from tallystick.objects.conditions import Progress, Readiness, Verdict, conditions
from tallystick.objects.reasons import SharedReason
from tallystick.registry import KINDS
from tests.fakes import NOON
from tests.gitops.customizations import CUSTOMIZATIONS, EXAMPLE, PREFIX, act, config_map, enabled_actions, health_of
from tests.kstatus.port import kstatus
from tests.kstatus.states import states
from tests.unit.test_docs import codes, rows, schema_of, section

Json = dict[str, Any]

STATES = states()
README = (EXAMPLE / "README.md").read_text()
HEALTH = {"Current": "Healthy", "InProgress": "Progressing", "Failed": "Degraded", "Terminating": "Progressing"}
EVERY_KIND = pytest.mark.parametrize("kind", [kind.resource.kind for kind in KINDS])


def state_of(body: Json) -> str:
    status = body["status"]
    return str(status["tokens"][0]["state"] if "tokens" in status else status["state"])


def promised() -> dict[tuple[str, str], list[str]]:
    """The actions that the README promises, by kind and state."""
    table = rows(section(README, "Actions"), "kind")
    return {(kind, state): sorted(codes([cells], 0)) for kind, state, *cells in table}


def test_each_kind_has_a_health_and_actions_and_no_other_has():
    kinds = {f"tallystick.dev_{kind.resource.kind}" for kind in KINDS}
    wanted = {f"{PREFIX}.{part}.{kind}" for kind in kinds for part in ("health", "actions")}

    assert set(config_map()) == wanted | {f"{PREFIX}.health.argoproj.io_Application"}


@EVERY_KIND
def test_the_config_map_has_the_scripts_that_are_tested_here(kind):
    data = config_map()

    assert data[f"{PREFIX}.health.tallystick.dev_{kind}"] == (CUSTOMIZATIONS / "health.lua").read_text()
    actions = yaml.safe_load((CUSTOMIZATIONS / "actions" / f"{kind}.yaml").read_text())
    assert yaml.safe_load(data[f"{PREFIX}.actions.tallystick.dev_{kind}"]) == actions


@EVERY_KIND
def test_an_object_of_each_state_is_tried(kind):
    status = schema_of(kind)["properties"]["status"]["properties"]
    field = status["state"] if "state" in status else status["tokens"]["items"]["properties"]["state"]

    assert {state_of(body) for body in STATES.values() if body["kind"] == kind} == set(field["enum"])


@pytest.mark.parametrize("name", STATES)
def test_health_follows_kstatus(name):
    body = STATES[name]
    wanted = "Suspended" if state_of(body) == "Paused" else HEALTH[kstatus(body)]

    health = health_of(body)

    assert health["status"] == wanted
    assert health["message"] in {one["message"] for one in body["status"]["conditions"]}


@pytest.mark.parametrize("name", STATES)
def test_an_object_that_is_not_reconciled_yet_is_progressing(name):
    body = STATES[name]

    assert health_of({**body, "metadata": {**body["metadata"], "generation": 9}})["status"] == "Progressing"
    # The API server sets this default; without a status, no version of the CRD has it.
    assert health_of({**body, "status": {"observedGeneration": -1}})["status"] == "Progressing"
    assert health_of({key: value for key, value in body.items() if key != "status"})["status"] == "Progressing"
    assert health_of({**body, "status": {"observedGeneration": 1}})["status"] == "Progressing"


# `failed` is for pieces of work alone.
WAYS = [way for way in itertools.product(Progress, Verdict) if way != (Progress.FAILED, Verdict.READY)]


@pytest.mark.parametrize(("progress", "verdict"), WAYS)
def test_health_follows_kstatus_for_each_way_to_write_conditions(progress, verdict):
    """A new reason or kind writes its conditions in one of these ways."""
    said = Readiness(progress, SharedReason.CLOCK_UNSAFE, "a message")
    written = [one.to_json() for one in conditions(said, before=[], generation=1, now=NOON, verdict=verdict)]
    body = {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "conditions": written}}

    assert health_of(body) == {"status": HEALTH[kstatus(body)], "message": "a message"}


# The spec by which a user has ordered a state.
ORDERED = {
    "Revoked": {"revoked": True},
    "Paused": {"desiredState": "Paused"},
    "Aborting": {"desiredState": "Aborted"},
    "Aborted": {"desiredState": "Aborted"},
}


def test_the_actions_of_each_state_are_those_of_the_readme():
    found: dict[tuple[str, str], list[str]] = {}
    for body in STATES.values():
        if not body["metadata"].get("deletionTimestamp"):
            enabled = enabled_actions(with_spec(body, **ORDERED.get(state_of(body), {})))
            assert found.setdefault((body["kind"], state_of(body)), enabled) == enabled
    project = with_spec(STATES["PairingToken Issued"], purpose="DeviceProject", projectKey="fleet01")
    found["PairingToken of devices", "Active"] = enabled_actions(project)

    assert found == promised()


def test_a_deleted_object_has_no_action():
    for body in STATES.values():
        gone = {**body, "metadata": {**body["metadata"], "deletionTimestamp": "2030-01-01T12:00:00Z"}}
        assert enabled_actions(gone) == []


@pytest.mark.parametrize("name", STATES)
def test_an_action_changes_the_spec_alone(name):
    body = STATES[name]
    for action in enabled_actions(body):
        (change,) = act(body, action)

        assert change.operation == "patch"
        assert {**change.body, "spec": None} == {**as_lua_keeps(body), "spec": None}
        assert change.body["spec"] != body["spec"]


def as_lua_keeps(value: Any) -> Any:
    """A table cannot hold null, and an empty list is an empty table."""
    if isinstance(value, dict):
        return {key: as_lua_keeps(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [as_lua_keeps(one) for one in value] or {}
    return value


def with_spec(body: Json, **spec: Any) -> Json:
    return {**body, "spec": {**body["spec"], **spec}}


def spec_after(body: Json, action: str) -> Json:
    assert action in enabled_actions(body)
    (change,) = act(body, action)
    return dict(change.body["spec"])


@pytest.mark.parametrize("name", ["PairingToken Issued", "PairingToken Paired", "MasterToken Active", "Device Active"])
def test_revoke_sets_revoked_once(name):
    body = STATES[name]

    assert spec_after(body, "revoke")["revoked"] is True
    assert "revoke" not in enabled_actions(with_spec(body, revoked=True))


def test_a_device_that_has_never_checked_in_can_be_revoked():
    enrolled = {**STATES["Device Active"], "status": {"observedGeneration": -1}}

    assert spec_after(enrolled, "revoke")["revoked"] is True


@pytest.mark.parametrize("name", ["PairingToken Expired", "PairingToken Paired", "PairingToken MasterTokenExpired"])
def test_renew_raises_the_serial_by_one(name):
    body = STATES[name]

    assert spec_after(body, "renew")["serial"] == body["spec"].get("serial", 1) + 1


def test_renew_waits_until_a_revocation_is_recorded():
    revoked = with_spec(STATES["PairingToken Revoked"], revoked=True)

    assert spec_after(revoked, "renew") == {**revoked["spec"], "serial": 2, "revoked": False}
    assert enabled_actions(with_spec(STATES["PairingToken Issued"], revoked=True)) == []


def test_rotate_creates_a_rotation_of_the_token_of_devices():
    project = with_spec(STATES["PairingToken Issued"], purpose="DeviceProject", projectKey="fleet01")
    meta = project["metadata"]

    (change,) = act(project, "rotate")

    made = change.body
    assert (change.operation, made["kind"], made["apiVersion"]) == ("create", "TokenRotation", project["apiVersion"])
    assert made["spec"] == {"targetRef": {"kind": "PairingToken", "name": meta["name"]}}
    assert made["metadata"]["namespace"] == meta["namespace"]
    assert made["metadata"]["name"].startswith(f"{meta['name']}-")
    (owner,) = made["metadata"]["ownerReferences"]
    assert owner["uid"] == meta["uid"]


@pytest.mark.parametrize("name", ["JoinKey Shared", "MasterKey KeyStored"])
def test_rotate_raises_the_serial_of_a_key(name):
    body = STATES[name]

    assert spec_after(body, "rotate")["serial"] == body["spec"].get("serial", 1) + 1


def test_an_own_join_key_is_not_rotated_by_its_serial():
    assert enabled_actions(with_spec(STATES["JoinKey Shared"], secretRef={"name": "own"})) == []


def slots(*named: tuple[str, int, str]) -> Json:
    """A ConnectionConfiguration with these slots, serials and states."""
    body = STATES["ConnectionConfiguration Issued"]
    token = body["status"]["tokens"][0]
    tokens = [{**token, "slot": slot, "serial": serial, "state": state} for slot, serial, state in named]
    spec = {**body["spec"], "tokens": [{"name": slot} for slot, _, state in named if state != "Revoked"]}
    return {**body, "spec": spec, "status": {**body["status"], "lastSerial": len(named), "tokens": tokens}}


def test_rotate_adds_a_slot_and_revoke_removes_the_older_one():
    one = slots(("default", 1, "Active"))
    assert enabled_actions(one) == ["rotate"]
    assert spec_after(one, "rotate")["tokens"] == [{"name": "default"}, {"name": "serial-2"}]

    for two in (
        slots(("default", 1, "Active"), ("serial-2", 2, "Active")),
        slots(("serial-2", 2, "Active"), ("default", 1, "Active")),
    ):
        assert enabled_actions(two) == ["revoke"]
        assert spec_after(two, "revoke")["tokens"] == [{"name": "serial-2"}]


def test_no_token_is_revoked_before_the_other_one_is_in_the_secret():
    assert enabled_actions(slots(("default", 1, "Active"), ("serial-2", 2, "Pending"))) == []
    assert enabled_actions(slots(("default", 1, "Pending"))) == []


def test_a_rotation_is_paused_resumed_and_aborted():
    running = STATES["TokenRotation InProgress"]
    paused = with_spec(STATES["TokenRotation Paused"], desiredState="Paused")

    assert spec_after(running, "pause")["desiredState"] == "Paused"
    assert spec_after(paused, "resume")["desiredState"] == "Running"
    assert spec_after(paused, "abort")["desiredState"] == "Aborted"
    assert enabled_actions(with_spec(STATES["TokenRotation Aborting"], desiredState="Aborted")) == []
