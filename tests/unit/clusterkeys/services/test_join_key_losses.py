"""A key that its Secrets have lost comes from another one with its fingerprint, or not at all; or is sealed again."""

import pytest

from tallystick.schema.builtin import SECRETS
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key
from tests.worlds.join_key_world import NAME, NAMESPACE, OWN, PROVIDED, SEALED, JoinKeyWorld, targets

PLACES = [(NAMESPACE, OWN), ("rt", OWN)]


@pytest.fixture
async def world():
    """A generated key that is shared with one target."""
    world = JoinKeyWorld()
    await world.issue(targets=targets("rt"))
    world.events.warnings.clear()
    world.audit.lines.clear()
    return world


async def test_an_older_sealed_copy_does_not_come_back(world):
    before = world.secret(name=SEALED)
    world.edit(serial=2, overlap="0s")
    await world.reconcile()
    (new,) = world.held()

    world.cluster.edit(SECRETS, NAMESPACE, SEALED, lambda body: body.update(data=before["data"]))
    for place in PLACES:
        world.delete_secret(*place)
    await world.reconcile()

    assert world.copies() == []
    assert world.said()["Stalled"] == ("True", "KeyLost")
    assert world.object().status.fingerprint == new.fingerprint


@pytest.mark.parametrize("kept", PLACES)
async def test_a_lost_key_comes_from_any_copy_that_is_left(world, kept):
    (key,) = world.held()
    for place in [*PLACES, (NAMESPACE, SEALED)]:
        if place != kept:
            world.delete_secret(*place)

    await world.reconcile()

    assert world.held() == world.held("rt") == [world.opened()] == [key]


async def test_a_lost_key_comes_from_the_sealed_copy_if_no_other_is_left(world):
    (key,) = world.held()
    for place in PLACES:
        world.delete_secret(*place)

    await world.reconcile()

    assert world.held() == world.held("rt") == [key]
    assert [line.action for line in world.audit.lines if line.action == "restore-key"] == ["restore-key"]
    assert world.events.warnings[0].message.startswith("another client changed or deleted Secret edge/jpd-1-join-key, ")


async def test_without_any_copy_the_key_is_lost_and_none_is_made(world):
    (key,) = world.held()
    for place in [*PLACES, (NAMESPACE, SEALED)]:
        world.delete_secret(*place)
    drawn = world.random.drawn

    await world.reconcile()
    await world.reconcile()

    assert world.said() == {"Ready": ("False", "KeyLost"), "Stalled": ("True", "KeyLost")}
    assert world.message() == (
        f"No Secret holds join key {key.fingerprint} any more (looked at: edge/jpd-1-join-key, rt/jpd-1-join-key, "
        "edge/jpd-1-join-key-sealed). The sealed copy cannot be opened: it does not exist. Put one of them back, or "
        "raise spec.serial to 2 for a new key."
    )
    assert (world.copies(), world.random.drawn, world.events.reasons()) == ([], drawn, ["KeyLost"])


async def test_a_lost_key_is_back_when_a_copy_is_put_back(world):
    (key,), copy = world.held(), world.secret("rt")
    for place in [*PLACES, (NAMESPACE, SEALED)]:
        world.delete_secret(*place)
    await world.reconcile()

    world.cluster.put(SECRETS, {"metadata": {**copy["metadata"], "uid": "again"}, **_less(copy, "metadata")})
    await world.reconcile()

    assert world.held() == world.held("rt") == [world.opened()] == [key]
    assert world.said() == {"Ready": ("True", "Shared")}


@pytest.mark.parametrize("overlap", ["10m", "0s"])
async def test_a_raised_serial_ends_the_loss_with_a_new_key_that_signs_at_once(world, overlap):
    (old,) = world.held()
    for place in [*PLACES, (NAMESPACE, SEALED)]:
        world.delete_secret(*place)
    await world.reconcile()

    world.edit(serial=2, overlap=overlap)
    await world.reconcile()

    (new,) = world.held()
    assert new != old
    assert (world.held("rt"), world.opened(2)) == ([new], new)
    assert (world.object().status.key_version, world.said()) == (2, {"Ready": ("True", "Shared")})


async def test_a_provided_key_that_is_still_in_its_secret_is_not_lost():
    world = JoinKeyWorld()
    world.provide(a_join_key("mine"))
    await world.issue(secretRef={"name": PROVIDED})
    for name in (OWN, SEALED):
        world.delete_secret(NAMESPACE, name)

    await world.reconcile()

    assert (world.held(), world.opened()) == ([a_join_key("mine")], a_join_key("mine"))


async def test_a_lost_key_of_an_unopened_master_key_waits_for_it(world):
    for place in PLACES:
        world.delete_secret(*place)
    world.close_master()

    await world.reconcile()
    waiting = world.said()
    world.open_master(a_master_key())
    world.clock.advance(60)
    await world.reconcile()

    assert waiting == {"Ready": ("False", "MasterKeyRequired"), "Stalled": ("True", "MasterKeyRequired")}
    assert world.held() == world.held("rt") == [world.opened()]


async def test_a_lost_sealed_copy_waits_for_the_master_key_and_the_copies_stay(world):
    world.delete_secret(NAMESPACE, SEALED)
    world.delete_secret("rt", OWN)
    world.close_master()

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "MasterKeyRequired")
    assert world.held() == world.held("rt")
    assert len(world.held()) == 1


async def test_a_rotation_seals_the_key_again_by_one_read_and_two_writes(world):
    (key,) = world.held()
    world.open_master(a_master_key("newer"), a_master_key())

    await world.reconcile()

    assert [(call.verb, call.name) for call in world.cluster.calls] == [
        ("get", SEALED),
        ("replace", SEALED),
        ("replace_status", NAME),
    ]
    assert world.opened() == key
    assert world.object().status.sealed.master_key == a_master_key("newer").fingerprint
    assert world.events.warnings == []


async def test_a_join_key_is_sealed_from_its_copy_when_the_master_key_is_lost(world):
    (key,) = world.held()
    world.open_master(a_master_key("newer"))

    await world.reconcile()

    assert (world.opened(), world.said()) == (key, {"Ready": ("True", "Shared")})


async def test_a_copy_with_another_key_is_never_sealed_when_the_master_key_is_lost(world):
    world.delete_secret("rt", OWN)
    world.edit_secret(NAMESPACE, OWN, join_key=a_join_key("theirs").to_hex())
    world.open_master(a_master_key("newer"))

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "KeyLost")
    assert a_master_key().fingerprint in world.message()
    assert world.held() == [a_join_key("theirs")]  # evidence is left alone


async def test_another_master_key_by_reference_seals_the_key_again(world):
    (key,) = world.held()
    world.open_master(a_master_key("other"), name="other")
    world.edit(masterKeyRef={"name": "other"})

    await world.reconcile()

    assert world.object().status.sealed.master_key == a_master_key("other").fingerprint
    assert world.held() == [key]
    assert world.said() == {"Ready": ("True", "Shared")}


async def test_a_new_master_key_with_the_bytes_of_the_join_key_is_refused():
    world = JoinKeyWorld()
    world.provide(a_master_key("newer").to_hex())
    await world.issue(secretRef={"name": PROVIDED})
    world.open_master(a_master_key("newer"), a_master_key())

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "KeyReuse")
    assert world.object().status.sealed.master_key == a_master_key().fingerprint


async def test_a_lost_key_that_was_retiring_is_accepted_no_longer(world):
    world.edit(serial=2)
    await world.reconcile()
    world.clock.advance(600)
    await world.reconcile()
    new, _ = world.held()
    for place in PLACES:
        world.cluster.edit(SECRETS, *place, lambda body: body["data"].pop("join-key-accepted"))
    world.edit_secret(NAMESPACE, SEALED, **{"join_key_accepted.jwe": "gone"})
    world.cluster.edit(SECRETS, NAMESPACE, SEALED, lambda body: body["data"].pop("join-key-accepted.jwe", None))

    await world.reconcile()

    assert (world.held(), world.held("rt"), world.object().status.replacement) == ([new], [new], None)
    assert world.said() == {"Ready": ("True", "Shared")}


async def test_a_new_key_that_is_lost_before_it_signs_is_made_again(world):
    (old,) = world.held()
    world.edit(serial=2)
    await world.reconcile()
    _, lost = world.held()
    for place in PLACES:
        world.cluster.edit(SECRETS, *place, lambda body: body["data"].pop("join-key-accepted"))
    world.delete_secret(NAMESPACE, SEALED)

    await world.reconcile()

    signs, accepted = world.held("rt")
    assert (signs, accepted not in (old, lost)) == (old, True)
    assert world.object().status.replacement.fingerprint == accepted.fingerprint


def _less(body, key):
    return {name: value for name, value in body.items() if name != key}
