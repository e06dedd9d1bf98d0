"""A generated master key: made once, never replaced behind its user's back, and left when its MasterKey goes."""

import pytest

from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.schema.builtin import SECRETS
from tests.builders import OTHER_UID, UID
from tests.unit.clusterkeys.vectors import a_master_key
from tests.worlds.master_key_world import MASTER_TYPE, NAME, NAMESPACE, SECRET, MasterKeyWorld, encoded

STALLED = "Stalled"


@pytest.fixture
def world():
    return MasterKeyWorld()


def put_in_the_place(world, key, *, labels=(), type_=MASTER_TYPE):
    """Let somebody delete the generated Secret, and create another one of its name."""
    if world.secret() is not None:
        world.cluster.remove(SECRETS, NAMESPACE, SECRET)
    meta = {"name": SECRET, "namespace": NAMESPACE, "labels": dict(labels)}
    value = key if isinstance(key, str) else key.to_hex()
    return world.cluster.put(SECRETS, {"metadata": meta, "type": type_, "data": encoded({"master-key": value})})


async def test_an_empty_spec_gets_a_key_of_256_bits_with_two_writes(world):
    world.apply()

    await world.reconcile()

    status = world.status()
    assert world.writes() == [("create", "secrets"), ("replace_status", "masterkeys")]
    assert world.keys() == {"master-key": status.fingerprint}
    assert (status.state, status.serial, status.key_size, status.source) == ("Active", 1, 256, "Generated")
    assert (status.join_keys.total, status.join_keys.outdated, status.holder) == (0, 0, None)
    assert world.said() == {"Ready": ("True", "KeyStored")}
    assert world.message() == (
        "Secret edge/artifactory-master-key holds the key; keep a copy of it in a safe place outside this cluster"
    )


async def test_the_secret_has_no_owner_and_says_whose_it_is(world):
    await world.issue()

    meta = world.secret()["metadata"]
    assert "ownerReferences" not in meta
    assert meta["labels"] == {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": "MasterKey",
        "tallystick.dev/name": NAME,
        "tallystick.dev/namespace": NAMESPACE,
        "tallystick.dev/uid": UID,
        "tallystick.dev/key-id": world.status().fingerprint,
    }
    assert world.secret()["type"] == "tallystick.dev/master-key"


async def test_a_key_of_128_bits_is_generated_on_request(world):
    await world.issue(keySize=128)

    assert world.status().key_size == 128
    assert world.keys() == {"master-key": world.status().fingerprint}


async def test_a_restart_a_second_look_and_a_label_write_nothing(world):
    await world.issue()
    before = world.status()

    world.restart()
    await world.reconcile()
    world.cluster.edit(MASTER_KEYS, NAMESPACE, NAME, lambda body: body["metadata"].update(labels={"team": "a"}))
    await world.reconcile()

    assert (world.writes(), world.status()) == ([], before)
    assert len(world.audit.lines) == 1


async def test_a_second_look_reads_no_secret_again(world):
    await world.issue()

    await world.reconcile()

    assert world.cluster.calls == []


async def test_the_secret_survives_its_master_key(world):
    await world.issue()
    world.cluster.remove(MASTER_KEYS, NAMESPACE, NAME)

    await world.reconcile()

    assert (world.writes(), world.secret() is not None) == ([], True)


async def test_a_key_that_was_deleted_is_lost_and_nothing_is_generated(world):
    key = await world.issue()
    world.cluster.remove(SECRETS, NAMESPACE, SECRET)

    result = await world.reconcile()
    await world.reconcile()

    assert world.writes() == [("replace_status", "masterkeys")]
    assert world.said() == {"Ready": ("False", "KeyLost"), STALLED: ("True", "KeyLost")}
    assert world.message() == (
        "Generated key Secret edge/artifactory-master-key was deleted. Create it again with that key (type "
        f'tallystick.dev/master-key, key "master-key", fingerprint {key}), or raise spec.serial to 2 to get a new one. '
        "Services keep their join keys."
    )
    assert (world.status().state, world.status().fingerprint) == ("Sealed", key)
    assert world.events.reasons() == ["KeyLost"]
    assert result.requeue_after == 10.0


@pytest.mark.parametrize("labeled", [True, False], ids=["from a backup", "by hand, without a label"])
async def test_a_lost_key_that_is_restored_is_used_again(world, labeled):
    key = await world.issue()
    backup = world.secret()
    world.cluster.remove(SECRETS, NAMESPACE, SECRET)
    await world.reconcile()
    if not labeled:
        backup["metadata"].pop("labels")
    world.cluster.put(SECRETS, backup)

    await world.reconcile()

    assert (world.said(), world.status().state) == ({"Ready": ("True", "KeyStored")}, "Active")
    assert world.keys() == {"master-key": key}
    assert world.audit.decisions()[-1] == ("restore-key", "ok")


async def test_raising_the_serial_replaces_a_lost_key(world):
    lost = await world.issue()
    world.put_join_key("jpd-1", sealed_with=lost)
    world.cluster.remove(SECRETS, NAMESPACE, SECRET)
    await world.reconcile()
    world.rotate()

    await world.reconcile()

    status = world.status()
    assert world.keys() == {"master-key": status.fingerprint}
    assert (status.fingerprint != lost, status.previous_fingerprint, status.serial) == (True, lost, 2)
    assert world.message() == (
        f"1 of 1 join keys is still sealed with {lost}, which no Secret holds; each is sealed again from its Secret"
    )


async def test_another_key_in_the_secret_is_reported_and_left_alone(world):
    recorded = await world.issue()
    other = a_master_key()
    found = put_in_the_place(world, other, labels={"tallystick.dev/uid": UID})

    await world.reconcile()
    await world.reconcile()

    assert world.writes() == [("replace_status", "masterkeys")]
    assert world.secret() == found
    assert world.said() == {"Ready": ("False", "MasterKeyChanged"), STALLED: ("True", "MasterKeyChanged")}
    assert world.message() == (
        f"Secret edge/artifactory-master-key now holds {other.fingerprint}, but join keys are sealed with {recorded}. "
        f"Put {recorded} back into it, or raise spec.serial to 2 to seal them with {other.fingerprint}."
    )
    assert world.status().fingerprint == recorded
    assert world.events.reasons() == ["MasterKeyChanged"]


async def test_raising_the_serial_seals_with_the_key_that_is_in_the_secret(world):
    recorded = await world.issue()
    world.put_join_key("jpd-1", sealed_with=recorded)
    other = a_master_key()
    put_in_the_place(world, other)
    await world.reconcile()
    world.rotate()

    await world.reconcile()

    assert (world.status().fingerprint, world.status().previous_fingerprint) == (other.fingerprint, recorded)
    assert world.keys() == {"master-key": other.fingerprint}


async def test_a_damaged_key_is_reported_with_the_fingerprint_to_put_back(world):
    recorded = await world.issue()
    world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body.update(data=encoded({"master-key": "abc"})))

    await world.reconcile()

    assert world.said()["Ready"] == ("False", "InvalidKey")
    assert world.message() == (
        'key "master-key" in Secret edge/artifactory-master-key must be 32 or 64 hexadecimal characters (AES-128 or '
        f"AES-256); got 3 characters; the required key has fingerprint {recorded}"
    )
    assert world.status().state == "Sealed"


async def test_raising_the_serial_replaces_a_damaged_key(world):
    recorded = await world.issue()
    world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body.update(data=encoded({"master-key": "abc"})))
    world.rotate()

    await world.reconcile()

    assert world.keys() == {"master-key": world.status().fingerprint}
    assert world.status().fingerprint != recorded


FOREIGN = [
    pytest.param(a_master_key(), MASTER_TYPE, {}, id="a user's key"),
    pytest.param(a_master_key(), MASTER_TYPE, {"tallystick.dev/uid": OTHER_UID}, id="an earlier MasterKey's"),
    pytest.param("abc", MASTER_TYPE, {}, id="no key"),
    pytest.param(a_master_key(), "Opaque", {"tallystick.dev/uid": UID}, id="another type"),
]


@pytest.mark.parametrize(("key", "type_", "labels"), FOREIGN)
async def test_s22_a_secret_that_it_has_not_made_is_never_touched(world, key, type_, labels):
    found = put_in_the_place(world, key, labels=labels, type_=type_)
    world.apply()

    await world.reconcile()
    await world.reconcile()

    assert world.secret() == found
    assert world.said() == {"Ready": ("False", "SecretConflict"), STALLED: ("True", "SecretConflict")}
    assert world.message() == (
        "Secret edge/artifactory-master-key exists and was not made by this MasterKey; to go on with it, set "
        "spec.secretRef.name to artifactory-master-key and raise spec.serial to 2"
    )
    assert (world.status().state, world.events.reasons()) == ("Pending", ["SecretConflict"])


async def test_a_master_key_goes_on_with_the_secret_of_an_earlier_one_as_the_message_says(world):
    put_in_the_place(world, a_master_key(), labels={"tallystick.dev/uid": OTHER_UID})
    world.apply()
    await world.reconcile()

    world.edit(serial=2, secretRef={"name": SECRET})
    await world.reconcile()

    assert (world.status().fingerprint, world.status().source) == (a_master_key().fingerprint, "Provided")
    assert world.said() == {"Ready": ("True", "KeyStored")}


async def test_a_key_of_the_user_takes_the_place_of_a_generated_one(world):
    generated = await world.issue()
    world.place(a_master_key())
    world.edit(serial=2, secretRef={"name": "mk"})

    await world.reconcile()

    status = world.status()
    assert (status.fingerprint, status.source, status.serial) == (a_master_key().fingerprint, "Provided", 2)
    assert world.keys() == {"master-key": generated}


async def test_the_users_copy_of_a_generated_key_is_taken_over_without_a_rotation(world):
    generated = await world.issue()

    world.edit(serial=2, secretRef={"name": SECRET})
    await world.reconcile()

    status = world.status()
    assert (status.fingerprint, status.source, status.serial) == (generated, "Provided", 2)
    assert (status.previous_fingerprint, world.said()) == (None, {"Ready": ("True", "KeyStored")})


async def test_no_key_is_made_for_an_object_that_is_being_deleted(world):
    world.apply()
    stamp = {"deletionTimestamp": "2030-01-01T12:00:00Z"}
    world.cluster.edit(MASTER_KEYS, NAMESPACE, NAME, lambda body: body["metadata"].update(stamp))

    await world.reconcile()

    assert (world.secret(), world.status().fingerprint) == (None, None)


async def test_the_value_of_a_key_is_in_its_secret_alone(world):
    await world.issue()
    value = world.secret()["data"]["master-key"]
    everything = (world.object(), world.audit.lines, world.events.warnings, world.keyring, await world.keys_of())

    text = " ".join(map(repr, everything))
    assert value not in text
    assert world.cluster.peek(MASTER_KEYS, NAMESPACE, NAME)["status"]["fingerprint"] in text
