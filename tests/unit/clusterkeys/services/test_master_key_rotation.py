"""A rotation: the new key seals and both open, until no join key is sealed with the previous one."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.clusterkeys.services.master_keyring import MasterKeys
from tallystick.objects.ports import ConflictError
from tallystick.schema.builtin import SECRETS
from tests.unit.clusterkeys.vectors import a_master_key
from tests.worlds.master_key_world import NAME, NAMESPACE, PROVIDED, SECRET, MasterKeyWorld

REF = {"name": PROVIDED}
FIRST, SECOND = a_master_key("first"), a_master_key("second")


@pytest.fixture
def world():
    return MasterKeyWorld()


async def a_generated_key(world, join_keys=2):
    """Generate a master key that seals some join keys."""
    first = await world.issue()
    for number in range(join_keys):
        world.put_join_key(f"jpd-{number}", sealed_with=first)
    await world.reconcile()
    world.writes()
    return first


async def test_a_rotation_moves_the_old_key_aside_in_one_write(world):
    first = await a_generated_key(world)
    world.rotate()

    await world.reconcile()

    status = world.status()
    assert world.writes() == [("replace", "secrets"), ("replace_status", "masterkeys")]
    assert world.keys() == {"master-key": status.fingerprint, "master-key-previous": first}
    assert (status.state, status.serial, status.previous_fingerprint) == ("Rotating", 2, first)
    assert (status.join_keys.total, status.join_keys.outdated) == (2, 2)
    assert world.said() == {"Ready": ("True", "Rotating"), "Reconciling": ("True", "Rotating")}
    assert world.message() == world.message("Reconciling")
    assert world.message() == f"2 of 2 join keys are still sealed with {first}, which is kept until there are none"
    assert world.secret()["metadata"]["labels"]["tallystick.dev/key-id"] == status.fingerprint


async def test_a_rotation_is_an_event_an_audit_line_and_a_look_at_each_join_key(world):
    first = await a_generated_key(world)
    world.looked_again.clear()
    world.rotate()

    await world.reconcile()

    new = world.status().fingerprint
    assert world.events.reasons() == ["MasterKeyRotated"]
    assert world.events.warnings[0].message == (
        f"master key {new} seals now; the join keys that are sealed with {first} are sealed again"
    )
    assert world.audit.lines[-1].action == "rotate-master-key"
    assert world.audit.lines[-1].facts["master_key_id"] == new
    assert {key for key in world.looked_again if key[0] == JOIN_KEYS} == {
        (JOIN_KEYS, NAMESPACE, "jpd-0"),
        (JOIN_KEYS, NAMESPACE, "jpd-1"),
    }


async def test_during_a_rotation_both_keys_open_and_the_new_one_seals(world):
    first = await a_generated_key(world)
    world.rotate()
    await world.reconcile()

    keys = await world.keys_of()

    assert isinstance(keys, MasterKeys)
    assert (keys.newest.fingerprint, keys.previous.fingerprint) == (world.status().fingerprint, first)


async def test_the_previous_key_goes_when_no_join_key_needs_it(world):
    first = await a_generated_key(world)
    world.rotate()
    await world.reconcile()
    world.seal_all()
    world.writes()

    await world.reconcile()

    status, keys = world.status(), await world.keys_of()
    assert world.writes() == [("replace", "secrets"), ("replace_status", "masterkeys")]
    assert world.keys() == {"master-key": status.fingerprint}
    assert (status.state, status.previous_fingerprint, keys.previous) == ("Active", None, None)
    assert world.said() == {"Ready": ("True", "KeyStored")}
    assert world.audit.lines[-1].facts["master_key_id"] == first
    assert world.audit.decisions()[-1] == ("forget-key", "ok")


async def test_one_join_key_that_is_outdated_keeps_the_previous_key(world):
    first = await a_generated_key(world)
    world.rotate()
    await world.reconcile()
    world.seal_all()
    world.put_join_key("late", sealed_with=first)
    world.clock.advance(1)

    await world.reconcile()

    assert world.keys()["master-key-previous"] == first
    assert world.message().startswith("1 of 3 join keys is still sealed with")


async def test_the_api_server_decides_that_no_join_key_needs_the_previous_key(world):
    first = await a_generated_key(world)
    world.rotate()
    await world.reconcile()
    world.seal_all()
    world.watch()
    world.put_join_key("unseen", sealed_with=first)

    result = await world.reconcile(watched=False)

    assert (world.keys()["master-key-previous"], result.requeue_after) == (first, 1.0)


async def test_a_join_key_whose_sealed_copy_is_not_on_record_yet_keeps_the_previous_key(world):
    first = await a_generated_key(world, join_keys=0)
    world.put_join_key("new", ready=False, reason="Propagating")
    labels = {"tallystick.dev/kind": "JoinKey"}
    world.cluster.put(SECRETS, {"metadata": {"name": "new-join-key-sealed", "namespace": NAMESPACE, "labels": labels}})
    world.rotate()

    result = await world.reconcile()

    assert (world.keys()["master-key-previous"], result.requeue_after) == (first, 1.0)


async def test_a_join_key_that_was_being_sealed_at_the_rotation_keeps_the_previous_key_until_it_is_done(world):
    first = await a_generated_key(world, join_keys=0)
    world.rotate()
    during = []

    class Sealing:
        async def reconcile(self, namespace, name):
            during.append(await world.reconcile())
            return during[0]

    await world.index.following(Sealing()).reconcile(NAMESPACE, "new")
    kept = world.keys()
    await world.reconcile()

    assert (kept.get("master-key-previous"), during[0].requeue_after) == (first, 1.0)
    assert world.keys() == {"master-key": world.status().fingerprint}


async def test_a_second_rotation_waits_for_the_end_of_the_first(world):
    first = await a_generated_key(world)
    world.rotate()
    await world.reconcile()
    second = world.status().fingerprint
    world.rotate()

    await world.reconcile()
    waiting = (world.keys(), world.status().serial, world.said())
    world.seal_all()
    await world.reconcile()

    said = {"Ready": ("True", "Rotating"), "Reconciling": ("True", "Rotating")}
    assert waiting == ({"master-key": second, "master-key-previous": first}, 2, said)
    assert (world.status().serial, world.keys()["master-key-previous"]) == (3, second)


async def test_a_rotation_with_an_edit_in_the_same_instant_is_tried_again(world):
    first = await a_generated_key(world)
    world.rotate()
    world.cluster.fail_next("replace", "secrets", ConflictError("modified"))

    await world.reconcile()

    assert world.keys() == {"master-key": world.status().fingerprint, "master-key-previous": first}


async def test_metadata_and_data_of_others_stay_in_the_secret(world):
    await a_generated_key(world)

    def add(body):
        body["metadata"]["annotations"] = {"team": "a"}
        body["data"]["note"] = "bm90ZQ=="

    world.cluster.edit(SECRETS, NAMESPACE, SECRET, add)
    world.rotate()
    await world.reconcile()

    secret = world.secret()
    assert (secret["metadata"]["annotations"], secret["data"]["note"]) == ({"team": "a"}, "bm90ZQ==")


async def test_a_provided_key_is_rotated_when_another_one_is_in_the_secret(world):
    world.place(FIRST)
    await world.issue(secretRef=REF)
    world.put_join_key("jpd-1", sealed_with=FIRST.fingerprint)
    world.rotate()
    await world.reconcile()
    waiting = (world.said(), world.message(), world.status().state)
    world.writes()
    world.place(SECOND, previous=FIRST)

    await world.reconcile()

    said = {"Ready": ("True", "WaitingForNewKey"), "Reconciling": ("True", "WaitingForNewKey")}
    text = (
        f"spec.serial asks for a new master key, but Secret edge/mk still holds {FIRST.fingerprint}; "
        "put the new one into it"
    )
    status, keys = world.status(), await world.keys_of()
    assert waiting == (said, text, "Active")
    assert world.writes() == [("replace_status", "masterkeys")]
    assert (status.fingerprint, status.previous_fingerprint) == (SECOND.fingerprint, FIRST.fingerprint)
    assert (keys.newest, keys.previous) == (SECOND, FIRST)
    assert world.message().endswith("which is kept until there are none")


async def test_a_provided_key_is_rotated_without_the_old_one(world):
    world.place(FIRST)
    await world.issue(secretRef=REF)
    world.put_join_key("jpd-1", sealed_with=FIRST.fingerprint)
    world.place(SECOND)
    world.rotate()

    await world.reconcile()
    rotating, keys = world.message(), await world.keys_of()
    world.seal_all()
    found = world.secret(PROVIDED)
    await world.reconcile()

    assert rotating == (
        f"1 of 1 join keys is still sealed with {FIRST.fingerprint}, which no Secret holds; "
        "each is sealed again from its Secret"
    )
    assert (keys.newest, keys.previous) == (SECOND, None)
    assert (world.said(), world.status().previous_fingerprint) == ({"Ready": ("True", "KeyStored")}, None)
    assert world.secret(PROVIDED) == found


async def test_the_number_of_outdated_join_keys_is_written_once_a_second(world):
    first = await a_generated_key(world, join_keys=0)
    for number in range(10):
        world.put_join_key(f"jpd-{number}", sealed_with=first)
    world.rotate()
    await world.reconcile()
    new, results = world.status().fingerprint, []
    world.writes()

    for number in range(8):
        sealed = {"masterKey": new, "digest": "d"}
        change = lambda body, new=sealed: body["status"].update(sealed=new)  # noqa: E731
        world.cluster.edit(JOIN_KEYS, NAMESPACE, f"jpd-{number}", change)
        results.append((await world.reconcile()).requeue_after)
    held, writes = world.status().join_keys.outdated, world.writes()
    world.clock.advance(1)
    await world.reconcile()

    assert (held, writes, set(results)) == (10, [], {1.0})
    assert (world.status().join_keys.outdated, world.writes()) == (2, [("replace_status", "masterkeys")])


async def test_the_first_join_key_and_the_last_are_counted_at_once(world):
    first = await world.issue()

    world.put_join_key("jpd-1", sealed_with=first)
    await world.reconcile()
    one = world.status().join_keys.total
    world.cluster.remove(JOIN_KEYS, NAMESPACE, "jpd-1")
    await world.reconcile()

    assert (one, world.status().join_keys.total) == (1, 0)


async def test_the_generated_key_that_a_users_own_one_replaces_still_opens_join_keys(world):
    first = await a_generated_key(world)
    world.place(SECOND)
    world.edit(serial=2, secretRef=REF)

    await world.reconcile()
    keys, rotating = await world.keys_of(), world.message()
    world.seal_all()
    await world.reconcile()

    assert (keys.newest, keys.previous.fingerprint) == (SECOND, first)
    assert rotating == f"2 of 2 join keys are still sealed with {first}, which is kept until there are none"
    assert (world.said(), (await world.keys_of()).previous) == ({"Ready": ("True", "KeyStored")}, None)
    assert world.keys() == {"master-key": first}


async def test_master_keys_are_counted_by_state_for_the_metric(world):
    await a_generated_key(world)
    counts = [[world.controller.count(state) for state in ("Active", "Rotating")]]
    world.rotate()
    await world.reconcile()
    counts.append([world.controller.count(state) for state in ("Active", "Rotating")])
    world.cluster.remove(MASTER_KEYS, NAMESPACE, NAME)
    await world.reconcile()
    counts.append([world.controller.count(state) for state in ("Active", "Rotating")])

    assert counts == [[1, 0], [0, 1], [0, 0]]
