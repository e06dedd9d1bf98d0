"""A copy that others edit or delete comes back with the recorded key, and no other key is made in its place."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.objects.ports import NotFoundError
from tallystick.schema.builtin import SECRETS
from tests.builders import UID
from tests.unit.clusterkeys.vectors import a_join_key
from tests.worlds.join_key_world import NAME, NAMESPACE, OWN, SEALED, JoinKeyWorld, targets


@pytest.fixture
async def world():
    """A generated key that is shared with one target."""
    world = JoinKeyWorld()
    await world.issue(targets=targets("rt"))
    world.events.warnings.clear()
    world.audit.lines.clear()
    return world


def content(world):
    """What each Secret is, less its versions."""
    return [
        (body["metadata"]["namespace"], body["metadata"]["name"], body["data"], body["metadata"].get("labels"))
        for body in world.cluster.all(SECRETS)
    ]


PLACES = [(NAMESPACE, OWN), ("rt", OWN)]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("place", [*PLACES, (NAMESPACE, SEALED)])
async def test_a_deleted_secret_comes_back(world, place, restarted):
    before, status = content(world), world.object().status

    world.delete_secret(*place)
    if restarted:
        world.restart()
    await world.reconcile()
    world.cluster.calls.clear()
    await world.reconcile()

    is_sealed = place[1] == SEALED
    assert [one for one in content(world) if one[1] != SEALED] == [one for one in before if one[1] != SEALED]
    assert world.opened() == world.held()[0]
    assert world.object().status.model_copy(update={"sealed": None}) == status.model_copy(update={"sealed": None})
    assert (world.object().status.sealed != status.sealed) == is_sealed  # sealed with another IV
    assert world.events.reasons() == ["JoinKeyDrift"]
    assert world.events.warnings[0].message == (
        f"another client changed or deleted Secret {'/'.join(place)}; the controller restored it"
    )
    healed = [line.facts["target"] for line in world.audit.lines if line.action == "heal"]
    assert (healed, world.cluster.calls) == (["/".join(place)], [])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "value",
    ["", "not a key", a_join_key("theirs").to_hex(), "A" * 64, " "],
    ids=["empty", "text", "another key", "weak", "blank"],
)
async def test_an_edited_copy_comes_back(world, place, value):
    before = content(world)

    world.edit_secret(*place, join_key=value)
    await world.reconcile()

    assert content(world) == before
    assert world.events.reasons() == ["JoinKeyDrift"]


async def test_a_key_in_another_spelling_is_written_as_before(world):
    before = content(world)

    world.edit_secret("rt", OWN, join_key=world.values()["join-key"].upper())
    await world.reconcile()

    assert content(world) == before


@pytest.mark.parametrize("data_key", ["key-id", "cluster-name", "services", "join-key-accepted"])
async def test_every_other_data_key_of_a_copy_comes_back_too(world, data_key):
    before = content(world)

    world.edit_secret("rt", OWN, **{data_key.replace("-", "_"): a_join_key("theirs").to_hex()})
    await world.reconcile()

    assert content(world) == before


async def test_an_edited_sealed_copy_is_sealed_again(world):
    world.edit_secret(NAMESPACE, SEALED, **{"join_key.jwe": "not sealed"})

    await world.reconcile()

    assert world.opened() == world.held()[0]
    assert world.events.reasons() == ["JoinKeyDrift"]


async def test_s22_healing_backs_off_from_a_client_that_keeps_changing_a_copy(world):
    pauses = []
    for _ in range(5):
        world.edit_secret("rt", OWN, join_key="mine")
        result = await world.reconcile()
        pauses.append(result.requeue_after or 0.0)
        world.clock.advance(result.requeue_after or 0.0)
        await world.reconcile()

    assert pauses == [0.0, 0.0, 1.0, 2.0, 4.0]


async def test_s22_nothing_is_healed_when_the_owner_is_gone(world):
    world.delete_secret("rt", OWN)
    world.watch()
    world.cluster.remove(JOIN_KEYS, NAMESPACE, NAME)

    with pytest.raises(NotFoundError):
        await world.reconcile(watched=False)

    assert world.secret("rt") is None


async def test_s22_nothing_is_healed_when_the_owner_is_being_deleted(world):
    world.delete_secret("rt", OWN)
    world.watch()
    world.start_deleting()

    await world.reconcile(watched=False)

    assert world.secret("rt") is None


async def test_an_edit_of_the_services_is_written_to_all_copies_and_is_no_drift(world):
    world.edit(services=["xray"])

    await world.reconcile()

    assert world.values()["services"] == world.values("rt")["services"] == "xray"
    assert world.events.warnings == []


async def test_labels_that_others_add_to_a_copy_stay(world):
    world.cluster.edit(SECRETS, "rt", OWN, lambda body: body["metadata"]["labels"].update(team="a"))
    await world.reconcile()
    writes = world.writes()
    world.edit_secret("rt", OWN, join_key="mine")
    await world.reconcile()

    assert (writes, world.secret("rt")["metadata"]["labels"]["team"]) == ([], "a")


def a_reference(uid, name=NAME):
    """A reference by which a JoinKey is the controller of a Secret."""
    return {
        "apiVersion": JOIN_KEYS.api_version,
        "kind": JOIN_KEYS.kind,
        "name": name,
        "uid": uid,
        "controller": True,
    }


def refer(world, place, *references):
    world.cluster.edit(SECRETS, *place, lambda body: body["metadata"].update(ownerReferences=list(references)))


async def test_a_forged_reference_to_the_join_key_itself_is_removed_from_a_copy_elsewhere(world):
    """The garbage collector would delete the copy for it: an owner is in the namespace of what it owns."""
    before = content(world)
    refer(world, ("rt", OWN), a_reference(UID))

    await world.reconcile()
    world.cluster.calls.clear()
    await world.reconcile()

    assert world.secret("rt", OWN)["metadata"].get("ownerReferences", []) == []
    assert (content(world), world.cluster.calls) == (before, [])
    assert world.events.reasons() == ["JoinKeyDrift"]


async def test_a_copy_elsewhere_that_names_another_join_key_is_a_conflict_until_the_reference_is_gone(world):
    before, theirs = content(world), a_reference("another-uid", "jpd-2")
    refer(world, ("rt", OWN), theirs)

    for _ in range(3):
        await world.reconcile()
    writes = [call for call in world.writes() if call[1] == "secrets"]
    found = world.said()["Ready"], world.message()
    refer(world, ("rt", OWN))
    await world.reconcile()

    assert writes == [], "nothing foreign is touched, and no heal is tried again and again"
    assert found[0] == ("False", "SecretConflict")
    assert "Secret rt/jpd-1-join-key exists and is not managed by JoinKey edge/jpd-1" in found[1]
    assert (content(world), world.said()["Ready"]) == (before, ("True", "Shared"))


async def test_a_reference_of_another_controller_stays_on_a_healed_copy(world):
    theirs = a_reference("another-uid") | {"apiVersion": "example.com/v1", "kind": "Backup", "controller": False}
    refer(world, ("rt", OWN), theirs)
    world.edit_secret("rt", OWN, join_key="edited")

    await world.reconcile()

    assert world.secret("rt", OWN)["metadata"]["ownerReferences"] == [theirs]
