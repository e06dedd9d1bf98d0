"""The value that devices enroll with: when it is issued, what it holds, and which values end."""

import base64
from datetime import timedelta

import pytest

from tallystick.crypto.tokens import verify
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.feature import KINDS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.enrollment_values import ENROLLMENT, value_id
from tallystick.pairing.domain.tokens import keys_of_pairing_token
from tallystick.schema.builtin import SECRETS
from tests.builders import ISSUER, UID
from tests.fakes import NOON
from tests.worlds.faults import single_faults
from tests.worlds.fleet_world import NAMESPACE, TOKEN
from tests.worlds.lost_keys import FIRST
from tests.worlds.rotation_world import RotationWorld

SECRET = f"{TOKEN}-pairing-token"


@pytest.fixture
def world():
    return RotationWorld()


def values(world):
    held = world.cluster.peek(SECRETS, NAMESPACE, SECRET)
    return {key: base64.b64decode(value).decode() for key, value in held["data"].items()} if held else {}


def claims(world):
    keyring = world.keys.keyring()
    return dict(
        verify(values(world)["token"], keyring, profile=ENROLLMENT, issuer=ISSUER, now=world.clock.now()).claims
    )


async def issued(world, **spec):
    world.project(**spec)
    await world.work()
    return claims(world)


async def test_a_value_without_a_ttl_never_expires(world):
    found = await issued(world)

    status = world.token().status
    assert found == {
        "iss": ISSUER,
        "sub": "project:edge/fleet01",
        "aud": ISSUER,
        "iat": int(NOON.timestamp()),
        "jti": value_id(UID, 1, 1),
        "project": "edge/fleet01",
        "tallystick": {
            "kind": "PairingToken",
            "ns": "edge",
            "name": "cams",
            "uid": UID,
            "serial": 1,
            "generation": 1,
        },
    }
    assert (status.state, status.generation, status.expiration_time, status.expires_in) == ("Active", 1, None, None)
    assert values(world).keys() == {"token", "token-id"}
    assert status.conditions[0].message.endswith("holds the value that devices enroll with until it is revoked")


async def test_a_ttl_is_an_expiry_and_its_end_removes_the_secret_only(world):
    found = await issued(world, ttl="1h")
    (device,) = world.enrolled([1])
    await world.work()

    world.clock.advance(3600)
    await world.run(1)

    assert found["exp"] == int((NOON + timedelta(hours=1)).timestamp())
    assert (world.token().status.state, values(world)) == ("Expired", {})
    assert world.stored_device(device).status.state == "Active"


async def test_looking_again_signs_nothing(world):
    await issued(world)
    world.writes()

    world.look_again(PAIRING_TOKENS, NAMESPACE, TOKEN)
    await world.work()
    world.restart()
    await world.work()

    assert world.cluster.calls == []


async def test_an_edited_secret_comes_back_as_it_was(world):
    await issued(world)
    before = values(world)

    world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body["data"].update(token="bWluZQ=="))
    await world.run(2)

    assert values(world) == before


async def test_a_rotation_issues_the_value_of_the_next_generation_with_the_same_end(world):
    found = await issued(world, ttl="1h")
    world.clock.advance(600)
    world.rotate()
    await world.run(3)

    rotated = claims(world)
    assert (rotated["jti"], rotated["tallystick"]["generation"]) == (value_id(UID, 1, 2), 2)
    assert (rotated["exp"], rotated["iat"] - found["iat"]) == (found["exp"], 601)
    assert values(world)["token-id"] == world.token().status.token_id == rotated["jti"]


async def test_a_higher_serial_gets_a_lifetime_of_its_own(world):
    found = await issued(world, ttl="1h")
    world.clock.advance(600)

    world.edit_token(serial=2)
    await world.run(1)

    assert claims(world)["exp"] == found["exp"] + 601
    assert claims(world)["jti"] == value_id(UID, 2, 1)


async def test_a_revocation_removes_the_secret_and_lasts_for_the_devices_of_its_serial(world):
    await issued(world)
    (device,) = world.enrolled([1])
    await world.work()

    world.edit_token(revoked=True)
    await world.run(1)
    gone = values(world)
    world.edit_token(revoked=False, serial=2)
    await world.run(1)

    assert gone == {}
    assert (world.token().status.state, claims(world)["tallystick"]["serial"]) == ("Active", 2)
    assert world.stored_device(device).status.state == "Revoked"
    assert world.token().status.revoked_through == 1


@pytest.mark.parametrize("plan", single_faults(3), ids=str)
async def test_a_fault_at_any_call_leaves_one_value(world, plan):
    world.project()
    world.cluster.plan_from_now(plan)

    await world.run(4)

    assert claims(world)["jti"] == world.token().status.token_id == value_id(UID, 1, 1)


@pytest.mark.parametrize("plan", single_faults(8), ids=str)
async def test_a_fault_at_any_call_of_a_rotation_leaves_the_value_of_its_generation(world, plan):
    await issued(world)
    world.rotate()
    world.cluster.plan_from_now(plan)

    await world.run(6)

    assert claims(world)["jti"] == world.token().status.token_id == value_id(UID, 1, 2)


async def test_the_key_of_a_value_without_an_expiry_is_in_use(world):
    await issued(world)

    assert keys_of_pairing_token(world.token(), NOON + timedelta(days=9999)) == {world.token().status.key_id}


async def test_the_keys_of_both_copies_of_a_device_are_in_use(world):
    await issued(world)
    (name,) = world.enrolled([1])
    world.cluster.edit(
        DEVICES,
        NAMESPACE,
        name,
        lambda body: body["status"].update(
            offer={"generation": 2, "kid": "k-2", "tokenID": "x", "time": "2030-01-01T12:00:00Z", "rotation": "rot-1"}
        ),
    )
    (kind,) = (kind for kind in KINDS if kind.resource == DEVICES)

    assert kind.signing_keys(world.cluster.peek(DEVICES, NAMESPACE, name), NOON) == {FIRST, "k-2"}


def test_the_status_of_a_service_has_no_member_of_a_project():
    service = PairingToken.model_validate(
        {"metadata": {"name": "a"}, "spec": {"purpose": "Service"}, "status": {"state": "Active"}}
    )

    assert service.status.to_json() == {"observedGeneration": -1, "state": "Active", "conditions": []}
