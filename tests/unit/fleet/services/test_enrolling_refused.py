"""Enroll a device: who is refused, in which words."""

from datetime import timedelta

import pytest

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.enrollment_values import value_id
from tests.builders import UID
from tests.fakes import NOON
from tests.worlds.fleet_world import NAMESPACE, TOKEN, Agent, FleetWorld

JTI = value_id(UID, 1, 1)


@pytest.fixture
def fleet() -> FleetWorld:
    return FleetWorld()


async def refused(enrolling):
    with pytest.raises(DeviceRefusedError) as refusal:
        await enrolling
    return refusal.value.code, refusal.value.description


def closed(fleet):
    fleet.edit_spec(enrolment="Closed")


def full(fleet):
    fleet.edit_spec(maxDevices=7)
    fleet.edit_status(devices=7)


def revoked(fleet):
    fleet.edit_spec(revoked=True)


def revoked_serial(fleet):
    fleet.edit_spec(serial=2)
    fleet.edit_status(serial=2, revokedThrough=1)


def rotated(fleet):
    fleet.rotate()


def raised(fleet):
    fleet.edit_spec(serial=2)
    fleet.edit_status(serial=2)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (closed, "enrolment_closed", "PairingToken edge/cams takes no new devices: spec.enrolment is Closed"),
        (full, "device_limit", "PairingToken edge/cams allows 7 devices"),
        (revoked, "invalid_token", f"enrollment token {JTI} has been revoked"),
        (revoked_serial, "invalid_token", f"enrollment token {JTI} has been revoked"),
        (
            rotated,
            "invalid_token",
            f"enrollment token {JTI} was replaced; take the new one from Secret edge/cams-pairing-token",
        ),
        (
            raised,
            "invalid_token",
            f"enrollment token {JTI} was replaced; take the new one from Secret edge/cams-pairing-token",
        ),
    ],
)
async def test_a_refusal_names_its_reason_and_makes_no_device(fleet, change, code, text):
    fleet.project()
    change(fleet)

    answer = await refused(Agent(fleet).enroll(fleet.replica(), fleet.value()))

    assert answer == (code, text)
    assert fleet.devices() == []
    assert fleet.target().enrolling == ()
    assert fleet.audit.lines[-1][:2] == ("enroll", "refused")


async def test_a_device_without_a_key_is_refused_where_one_is_required(fleet):
    fleet.project()

    answer = await refused(Agent(fleet, has_key=False).enroll(fleet.replica(), fleet.value()))

    text = "PairingToken edge/cams takes devices with a key of their own only: send a DPoP proof"
    assert answer == ("dpop_required", text)


async def test_an_expired_value_is_refused_with_its_time_and_costs_no_api_call(fleet):
    fleet.project()
    value = fleet.value(expires=NOON + timedelta(minutes=5))
    fleet.clock.advance(300)

    answer = await refused(Agent(fleet).enroll(fleet.replica(), value))

    assert answer == ("invalid_token", f"enrollment token {JTI} expired at 2030-01-01T12:05:00Z")
    assert fleet.cluster.calls == []


async def test_a_value_may_expire_later_and_enrolls_until_then(fleet):
    fleet.project()

    enrolled = await Agent(fleet).enroll(fleet.replica(), fleet.value(expires=NOON + timedelta(seconds=1)))

    assert enrolled.created


async def test_a_proof_that_is_not_valid_is_refused_before_any_api_call(fleet):
    fleet.project()
    agent = Agent(fleet)
    request = agent.enrollment(fleet.value())
    fleet.clock.advance(61)

    answer = await refused(fleet.replica().enrolling.enroll(request))

    assert answer == ("invalid_dpop_proof", "the DPoP proof is not valid")
    assert fleet.cluster.calls == []


async def test_a_forged_value_is_no_value_and_costs_no_api_call(fleet):
    fleet.project()

    with pytest.raises(DeviceRefusedError) as refusal:
        await Agent(fleet).enroll(fleet.replica(), "a.b.c")

    assert (refusal.value.description, refusal.value.verified) == (
        "the bearer token is not a valid enrollment token",
        False,
    )
    assert fleet.cluster.calls == []


@pytest.mark.parametrize("changes", [{"jti": value_id(UID, 1, 2)}, {"jti": value_id(UID, 2, 1)}])
async def test_a_value_whose_id_is_not_derived_from_its_object_enrolls_no_device(fleet, changes):
    fleet.project()

    answer = await refused(Agent(fleet).enroll(fleet.replica(), fleet.value(**changes)))

    assert answer == ("invalid_token", "the bearer token is not a valid enrollment token")


async def test_a_value_of_an_object_that_was_created_again_enrolls_no_device(fleet):
    fleet.project()
    fleet.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["metadata"].update(uid="another"))

    answer = await refused(Agent(fleet).enroll(fleet.replica(), fleet.value()))

    assert answer == ("invalid_token", "the bearer token is not a valid enrollment token")


async def test_the_key_of_a_revoked_device_is_refused_until_the_device_is_deleted(fleet):
    fleet.project()
    agent = Agent(fleet)
    first = await agent.enroll(fleet.replica(), fleet.value())
    fleet.edit_device(agent.name, lambda body: body["spec"].update(revoked=True))

    answer = await refused(agent.enroll(fleet.replica(), fleet.value()))
    fleet.cluster.remove(DEVICES, NAMESPACE, agent.name)
    again = await agent.enroll(fleet.replica(), fleet.value())

    assert answer == (
        "device_revoked",
        f"device {agent.name} has been revoked; delete it to let its key enroll again",
    )
    assert again.device_id == first.device_id
    assert again.copy.token_id != first.copy.token_id


async def test_a_closed_project_and_a_full_one_still_answer_a_key_that_has_enrolled(fleet):
    fleet.project(maxDevices=1)
    agent = Agent(fleet)
    first = await agent.enroll(fleet.replica(), fleet.value())
    closed(fleet)

    again = await agent.enroll(fleet.replica(), fleet.value())

    assert again.copy == first.copy
