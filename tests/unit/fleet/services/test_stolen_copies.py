"""A thief with a copy, with a disk image or with another device's ID: what the owner keeps, and what the thief gets."""

from dataclasses import replace

import pytest

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.next_check_in import check_in_path
from tallystick.fleet.services.refused import DeviceRefusedError
from tests.worlds.fleet_world import NAMESPACE, Agent, FleetWorld


@pytest.fixture
def fleet() -> FleetWorld:
    fleet = FleetWorld()
    fleet.project(proofOfPossession="Optional")
    return fleet


async def enrolled(fleet, *, has_key=True) -> Agent:
    agent = Agent(fleet, has_key=has_key)
    await agent.enroll(fleet.replica(), fleet.value())
    return agent


def thief_of(agent: Agent, *, has_key: bool) -> Agent:
    """A thief with the disk of a device, but for its key."""
    return replace(agent, has_key=has_key)


async def refused(checking_in):
    with pytest.raises(DeviceRefusedError) as refusal:
        await checking_in
    return refusal.value.code, refusal.value.description


async def test_a_key_bound_copy_without_its_key_gets_nothing_and_costs_no_api_call(fleet):
    owner = await enrolled(fleet)
    fleet.rotate()
    fleet.cluster.calls.clear()

    without = await refused(thief_of(owner, has_key=False).check_in(fleet.replica()))
    with_another = await refused(thief_of(owner, has_key=True).check_in(fleet.replica()))

    text = "the token is bound to a key: send it as Authorization: DPoP, with a proof"
    assert without == with_another == ("invalid_token", text)
    assert fleet.cluster.calls == []
    assert fleet.device(owner.name).offer is None


async def test_the_owner_of_a_stolen_key_bound_copy_still_rotates(fleet):
    owner = await enrolled(fleet)
    fleet.rotate()
    await refused(thief_of(owner, has_key=False).check_in(fleet.replica()))

    await owner.check_in(fleet.replica())
    await owner.check_in(fleet.replica())

    assert fleet.device(owner.name).proved == 2


async def test_the_owner_of_a_stolen_bearer_copy_gets_401_once_the_thief_has_rotated_and_enrolls_again(fleet):
    owner = await enrolled(fleet, has_key=False)
    thief = thief_of(owner, has_key=False)
    fleet.rotate()
    await thief.check_in(fleet.replica())
    await thief.check_in(fleet.replica())

    code, _ = await refused(owner.check_in(fleet.replica()))
    again = await Agent(fleet, has_key=False).enroll(fleet.replica(), fleet.value(generation=2))

    assert code == "invalid_token"
    assert fleet.events.reasons() == ["OldTokenReuse"]  # so an administrator can see the theft
    assert again.created


async def test_the_disk_image_of_last_month_is_refused_and_the_device_enrolls_again_with_its_key(fleet):
    device = await enrolled(fleet)
    image = replace(device)
    image.key = device.key
    for number, name in ((2, "rot-1"), (3, "rot-2")):
        fleet.rotate(name=name, generation=number)
        await device.check_in(fleet.replica())
        await device.check_in(fleet.replica())
        fleet.finish(name)

    code, text = await refused(image.check_in(fleet.replica()))
    again = await image.enroll(fleet.replica(), fleet.value(generation=3))
    image.proved = again.copy.signed_jwt
    await image.check_in(fleet.replica())

    assert code == "invalid_token"
    assert "ended when its successor was proved" in text
    assert (again.created, again.device_id, again.copy.generation) == (False, device.name, 3)


async def test_the_id_of_another_device_is_not_found_with_an_own_copy(fleet):
    mine, other = await enrolled(fleet), await enrolled(fleet)
    fleet.cluster.calls.clear()

    request = mine.request(mine.proved, device=other.name)
    answer = await refused(fleet.replica().check_ins.take(request))

    assert answer == ("not_found", "the token belongs to another device than the path names")
    assert fleet.cluster.calls == []


@pytest.mark.parametrize("path", ["d-x", "", "../../oauth2/token", "d-" + "A" * 26])
async def test_a_path_that_names_no_device_has_no_valid_proof(fleet, path):
    mine = await enrolled(fleet)

    request = replace(mine.request(mine.proved), device=path)

    assert await refused(fleet.replica().check_ins.take(request)) == (
        "invalid_dpop_proof",
        "the DPoP proof is not valid",
    )


async def test_a_proof_for_another_url_or_another_copy_or_an_older_time_is_not_valid(fleet):
    mine, other = await enrolled(fleet), await enrolled(fleet)
    replica, path = fleet.replica(), check_in_path(mine.name)
    good = mine.request(mine.proved)
    wrong = [
        mine.proof(check_in_path(other.name), mine.proved),
        mine.proof(path, other.proved),
        mine.proof(path),
        "garbage",
    ]

    answers = [await refused(replica.check_ins.take(replace(good, unverified_proofs=[proof]))) for proof in wrong]
    fleet.clock.advance(61)
    answers.append(await refused(replica.check_ins.take(good)))

    assert set(answers) == {("invalid_dpop_proof", "the DPoP proof is not valid")}


async def test_a_bearer_copy_is_not_accepted_in_the_scheme_of_a_bound_one(fleet):
    agent = await enrolled(fleet, has_key=False)

    request = replace(agent.request(agent.proved), with_proof=True)

    assert await refused(fleet.replica().check_ins.take(request)) == (
        "invalid_token",
        "the token is not bound to a key: send it as Authorization: Bearer",
    )


async def test_a_forged_copy_counts_against_its_source_and_costs_no_api_call(fleet):
    agent = await enrolled(fleet)
    fleet.cluster.calls.clear()

    with pytest.raises(DeviceRefusedError) as refusal:
        await fleet.replica().check_ins.take(replace(agent.request(agent.proved), unverified_jwt="a.b.c"))

    assert (refusal.value.description, refusal.value.verified) == ("the token is not a valid device token", False)
    assert fleet.cluster.calls == []
    assert await refused(fleet.replica().check_ins.take(agent.request(fleet.value()))) == (
        "invalid_token",
        "the token is not a valid device token",
    )


async def test_a_copy_of_a_device_that_was_deleted_and_enrolled_again_is_not_accepted(fleet):
    agent = await enrolled(fleet)
    first = agent.proved
    fleet.cluster.remove(DEVICES, NAMESPACE, agent.name)
    again = await agent.enroll(fleet.replica(), fleet.value())

    answer = await refused(agent.check_in(fleet.replica(), first))

    assert answer[0] == "device_removed"
    assert fleet.accepts(again.copy.signed_jwt)
