"""What introspection and revocation say of copies, and of the values that devices enroll with."""

from datetime import timedelta

import pytest

from tallystick.errors import ExchangeRefusedError
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.token_types import TOKEN_TYPES
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.tokens.signer import Verifier
from tests.fakes import NOON
from tests.worlds.fleet_world import NAMESPACE, REVOKE_URL, TOKEN, Agent, FleetWorld


@pytest.fixture
def fleet() -> FleetWorld:
    fleet = FleetWorld()
    fleet.project(proofOfPossession="Optional")
    return fleet


@pytest.fixture
async def agent(fleet) -> Agent:
    agent = Agent(fleet)
    await agent.enroll(fleet.replica(), fleet.value())
    return agent


async def activity(fleet, *tokens):
    replica = fleet.replica()
    return [await replica.is_active(token, fleet.clock.now()) for token in tokens]


async def revoke(fleet, agent, copy, *, with_proof=True):
    proof = agent.proof("", copy, url=REVOKE_URL)
    await fleet.replica().revocation.revoke(copy, unverified_proofs=[proof] if with_proof else [], source="192.0.2.7")


async def test_the_proved_and_the_offered_copy_are_active_and_the_ended_one_is_not(fleet, agent):
    old = agent.proved
    fleet.rotate()
    await agent.check_in(fleet.replica())
    both = await activity(fleet, old, agent.upcoming)
    await agent.check_in(fleet.replica())

    assert both == [True, True]
    assert await activity(fleet, old, agent.proved) == [False, True]


async def test_a_new_copy_is_active_at_once_on_a_replica_that_has_read_the_device_before(fleet, agent):
    replica = fleet.replica()
    assert await replica.is_active(agent.proved, fleet.clock.now())
    fleet.rotate()
    await agent.check_in(fleet.replica())

    assert await replica.is_active(agent.upcoming, fleet.clock.now())


async def test_copies_below_the_revoked_generations_are_inactive_before_their_device_checks_in(fleet, agent):
    fleet.rotate(spec={"reason": "Compromised", "oldToken": "RevokeImmediately"})
    fleet.edit_status(revokedBelowGeneration=2)

    assert await activity(fleet, agent.proved) == [False]


def device_revoked(fleet, agent):
    fleet.edit_device(agent.name, lambda body: body["spec"].update(revoked=True))


def device_deleting(fleet, agent):
    fleet.edit_device(agent.name, lambda body: body["metadata"].update(deletionTimestamp="2030-01-01T12:00:00Z"))


def device_gone(fleet, agent):
    fleet.cluster.remove(DEVICES, NAMESPACE, agent.name)


def device_of_another_key(fleet, agent):
    fleet.edit_device(agent.name, lambda body: body["spec"].update(keyThumbprint="B" * 43))


def token_revoked(fleet, _):
    fleet.edit_spec(revoked=True)


def token_gone(fleet, _):
    fleet.cluster.remove(PAIRING_TOKENS, NAMESPACE, TOKEN)


def token_made_anew(fleet, _):
    fleet.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["metadata"].update(uid="another"))


@pytest.mark.parametrize(
    "end",
    [
        device_revoked,
        device_deleting,
        device_gone,
        device_of_another_key,
        token_revoked,
        token_gone,
        token_made_anew,
    ],
)
async def test_a_copy_ends_with_its_device_and_with_its_token(fleet, agent, end):
    end(fleet, agent)

    assert await activity(fleet, agent.proved) == [False]


async def test_an_ended_enrollment_ends_no_copy(fleet, agent):
    fleet.edit_spec(enrolment="Closed", serial=2)
    fleet.edit_status(serial=2)

    assert await activity(fleet, agent.proved) == [True]


async def test_the_present_value_is_active_and_earlier_and_expired_ones_are_not(fleet):
    first, expiring = fleet.value(), fleet.value(expires=NOON + timedelta(minutes=5))
    before = await activity(fleet, first, expiring)
    fleet.rotate()
    after = await activity(fleet, first, fleet.value(generation=2))
    fleet.clock.advance(300)

    assert before == [True, True]
    assert after == [False, True]
    assert await activity(fleet, fleet.value(generation=2, expires=NOON + timedelta(minutes=5))) == [False]


@pytest.mark.parametrize("change", [{"revoked": True}, {"serial": 2}])
async def test_a_value_of_a_revoked_token_or_of_an_earlier_serial_is_inactive(fleet, change):
    fleet.edit_spec(**change)

    assert await activity(fleet, fleet.value()) == [False]


async def test_introspection_adds_the_project(fleet, agent):
    verifier = Verifier(fleet.signer, TOKEN_TYPES)
    for token in (agent.proved, fleet.value()):
        verified = verifier.verified(token, fleet.clock.now())
        assert verified is not None
        assert verifier.type_of(verified).introspected(verified) == {"project": "edge/fleet01"}


# Revocation by possession.


async def test_an_own_copy_with_its_proof_ends_its_device(fleet, agent):
    other = Agent(fleet)
    await other.enroll(fleet.replica(), fleet.value())

    await revoke(fleet, agent, agent.proved)

    body = fleet.cluster.peek(DEVICES, NAMESPACE, agent.name)
    assert body["status"]["state"] == "Revoked"
    assert [(one["type"], one["reason"]) for one in body["status"]["conditions"]] == [("Ended", "Revoked")]
    assert fleet.events.reasons() == ["RevokedByHolder"]
    assert await activity(fleet, agent.proved, other.proved) == [False, True]
    with pytest.raises(DeviceRefusedError):
        await agent.check_in(fleet.replica())
    await revoke(fleet, agent, agent.proved)
    assert [line[:2] for line in fleet.audit.lines if line.action == "revoke"] == [
        ("revoke", "ok"),
        ("revoke", "already"),
    ]


async def test_a_copy_without_its_proof_ends_no_device(fleet, agent):
    with pytest.raises(ExchangeRefusedError) as refusal:
        await revoke(fleet, agent, agent.proved, with_proof=False)

    assert refusal.value.code == "invalid_dpop_proof"
    assert await activity(fleet, agent.proved) == [True]


async def test_a_copy_without_a_key_ends_no_device(fleet):
    agent = Agent(fleet, has_key=False)
    await agent.enroll(fleet.replica(), fleet.value())

    with pytest.raises(ExchangeRefusedError) as refusal:
        await revoke(fleet, agent, agent.proved, with_proof=False)

    assert refusal.value.code == "unsupported_token_type"
    assert await activity(fleet, agent.proved) == [True]


async def test_an_ended_copy_ends_no_device(fleet, agent):
    old = agent.proved
    fleet.rotate()
    await agent.check_in(fleet.replica())
    await agent.check_in(fleet.replica())

    await revoke(fleet, agent, old)

    assert await activity(fleet, agent.proved) == [True]
    assert fleet.audit.decisions()[-1] == ("revoke", "already")


async def test_a_value_cannot_be_revoked_by_a_holder(fleet, agent):
    with pytest.raises(ExchangeRefusedError) as refusal:
        await fleet.replica().revocation.revoke(fleet.value(), source="192.0.2.7")

    assert refusal.value.code == "unsupported_token_type"
    assert await activity(fleet, fleet.value()) == [True]


async def test_neither_type_is_exchanged_for_a_master_token(fleet, agent):
    verifier, replica = Verifier(fleet.signer, TOKEN_TYPES), fleet.replica()
    for token in (agent.proved, fleet.value()):
        verified = verifier.verified(token, fleet.clock.now())
        assert verified is not None
        denied = await replica.judges[verified.typ].not_exchanged(verified, {})
        assert denied is not None
        assert denied.code == "invalid_request"
