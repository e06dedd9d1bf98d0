"""An external master key: in the memory of the leader alone, and placed again before each start (R66-R73)."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.clusterkeys.services.master_keyring import MasterKeys, NoMasterKey
from tallystick.objects.ports import ConflictError
from tallystick.schema.builtin import SECRETS
from tests.unit.clusterkeys.vectors import a_master_key
from tests.worlds.external_keys import EXTERNAL, FORM, KEY, OTHER, in_memory
from tests.worlds.master_key_world import IDENTITY, NAME, NAMESPACE, PROVIDED, MasterKeyWorld


@pytest.fixture
def world():
    return MasterKeyWorld()


async def test_the_key_is_loaded_and_its_secret_is_removed_once_every_join_key_is_ready(world):
    world.place(KEY)
    world.apply(**EXTERNAL)
    world.put_join_key("jpd-1", ready=False, reason="WaitingForMasterKey")
    world.put_join_key("jpd-2", ready=False, reason="KeyLost")
    await world.reconcile()
    pending = (world.said(), world.message(), world.secret(PROVIDED) is not None)

    for name in ("jpd-1", "jpd-2"):
        world.put_join_key(name, sealed_with=KEY.fingerprint)
    await world.reconcile()

    text = (
        "the key is loaded; Secret edge/mk is deleted once every join key is Ready: edge/jpd-1 is not "
        "(WaitingForMasterKey)"
    )
    assert pending == ({"Ready": ("True", "RemovalPending")}, text, True)
    assert world.secret(PROVIDED) is None
    assert world.said() == {"Ready": ("True", "KeyInMemory")}
    assert world.message() == (
        f"the key is in the memory of {IDENTITY} alone since 2030-01-01T12:00:00Z; place Secret edge/mk ({FORM}) "
        "again before the controller restarts"
    )


async def test_the_status_names_the_key_and_its_holder(world):
    await in_memory(world)

    status = world.status()
    assert (status.state, status.fingerprint, status.source) == ("Active", KEY.fingerprint, "Provided")
    assert (status.holder.identity, status.holder.loaded_time) == (IDENTITY, world.clock.now())
    assert world.audit.decisions() == [("load-master-key", "ok"), ("remove-master-key", "ok")]


async def test_the_key_is_on_record_before_its_secret_is_removed(world):
    world.place(KEY)
    world.apply(**EXTERNAL)
    recorded = []
    world.cluster.before_next("delete", "secrets", lambda: recorded.append(world.status().fingerprint))

    await world.reconcile()

    assert recorded == [KEY.fingerprint]
    assert world.writes() == [("replace_status", "masterkeys"), ("delete", "secrets"), ("replace_status", "masterkeys")]


async def test_join_keys_get_the_key_from_memory(world):
    await in_memory(world)

    keys = await world.keys_of()

    assert isinstance(keys, MasterKeys)
    assert (keys.newest, keys.previous) == (KEY, None)


async def test_another_look_writes_nothing_and_asks_nothing(world):
    await in_memory(world)

    await world.reconcile()

    assert world.cluster.calls == []


async def test_a_join_key_that_the_watch_has_not_seen_keeps_the_secret(world):
    world.place(KEY)
    world.apply(**EXTERNAL)
    world.watch()
    world.put_join_key("jpd-1", ready=False, reason="Propagating")

    await world.reconcile(watched=False)

    assert world.secret(PROVIDED) is not None
    assert world.message().endswith("edge/jpd-1 is not (Propagating)")


async def test_a_join_key_that_was_never_reconciled_is_not_ready(world):
    world.place(KEY)
    world.apply(**EXTERNAL)
    world.put_join_key("jpd-1")
    world.cluster.edit(JOIN_KEYS, NAMESPACE, "jpd-1", lambda body: body.update(status={}))

    await world.reconcile()

    assert world.message().endswith("edge/jpd-1 is not (not reconciled yet)")


async def test_a_secret_that_was_replaced_between_read_and_delete_stays_for_the_next_start(world):
    world.place(KEY)
    world.apply(**EXTERNAL)
    world.cluster.before_next("delete", "secrets", lambda: world.place(KEY))

    await world.reconcile()
    await world.look()
    await world.reconcile()

    assert world.secret(PROVIDED) is not None
    assert world.said() == {"Ready": ("True", "KeyInMemory")}
    assert world.message().endswith(f"Secret edge/mk ({FORM}) is in place for the next start.")


async def test_of_100_secrets_that_are_replaced_between_read_and_delete_no_fresh_one_is_deleted():
    deleted = 0
    for number in range(100):
        world, fresh = MasterKeyWorld(), []
        world.place(KEY)
        world.apply(**EXTERNAL)
        replacing = a_master_key(f"fresh {number}") if number % 2 else KEY
        world.cluster.before_next(
            "delete", "secrets", lambda key=replacing, to=fresh, at=world: to.append(at.place(key))
        )
        for _ in range(3):
            await world.reconcile()
            await world.look()
        deleted += world.secret(PROVIDED) != fresh[0]

    assert deleted == 0


async def test_a_secret_that_was_edited_between_read_and_delete_is_read_again(world):
    world.place(KEY)
    world.apply(**EXTERNAL)

    def annotate():
        note = {"annotations": {"team": "a"}}
        world.cluster.edit(SECRETS, NAMESPACE, PROVIDED, lambda body: body["metadata"].update(note))

    world.cluster.before_next("delete", "secrets", annotate)
    await world.reconcile()

    assert (world.secret(PROVIDED), world.said()) == (None, {"Ready": ("True", "KeyInMemory")})


async def test_a_finalizer_on_the_secret_keeps_it_and_the_object_says_so(world):
    world.place(KEY)
    finalizers = {"finalizers": ["example.com/keep"]}
    world.cluster.edit(SECRETS, NAMESPACE, PROVIDED, lambda body: body["metadata"].update(finalizers))
    world.apply(**EXTERNAL)

    await world.reconcile()
    pending = (world.said(), world.message())
    world.cluster.remove(SECRETS, NAMESPACE, PROVIDED)
    await world.look()
    await world.reconcile()

    text = "the key is loaded; Secret edge/mk is deleted as soon as its finalizers are removed"
    assert pending == ({"Ready": ("True", "RemovalPending")}, text)
    assert world.said() == {"Ready": ("True", "KeyInMemory")}


async def test_a_rotation_waits_for_the_new_key_and_then_keeps_both_in_memory(world):
    await in_memory(world)
    world.put_join_key("jpd-1", sealed_with=KEY.fingerprint)
    world.rotate()
    await world.reconcile()
    waiting = (world.said()["Ready"], world.message())
    world.place(OTHER)
    await world.look()

    await world.reconcile()
    keys, rotating, kept = await world.keys_of(), world.said(), world.secret(PROVIDED) is not None
    world.seal_all()
    await world.reconcile()

    text = (
        "spec.serial asks for a new master key; place it in Secret edge/mk "
        '(type tallystick.dev/master-key, key "master-key")'
    )
    assert waiting == (("True", "WaitingForNewKey"), text)
    assert (keys.newest, keys.previous, kept) == (OTHER, KEY, True)
    assert rotating == {"Ready": ("True", "Rotating"), "Reconciling": ("True", "Rotating")}
    assert (world.said(), world.secret(PROVIDED)) == ({"Ready": ("True", "KeyInMemory")}, None)
    assert ((await world.keys_of()).previous, world.status().previous_fingerprint) == (None, None)


async def test_a_key_in_a_secret_becomes_external_and_back(world):
    world.place(KEY)
    await world.issue(secretRef={"name": PROVIDED})

    world.edit(external=True)
    await world.reconcile()
    external = (world.said(), world.secret(PROVIDED))
    world.edit(external=False)
    await world.reconcile()
    waiting = (world.said()["Ready"], world.status().holder)
    world.place(KEY)
    await world.reconcile()

    assert external == ({"Ready": ("True", "KeyInMemory")}, None)
    assert waiting == (("False", "WaitingForKey"), None)
    assert world.said() == {"Ready": ("True", "KeyStored")}


async def test_the_key_is_forgotten_with_its_master_key(world):
    await in_memory(world)
    world.cluster.remove(MASTER_KEYS, NAMESPACE, NAME)

    await world.reconcile()
    world.apply(**EXTERNAL)
    await world.reconcile()

    assert ("forget-key", "ok") in world.audit.decisions()
    assert world.said()["Ready"] == ("False", "WaitingForKey")


async def test_the_key_of_an_earlier_object_of_the_same_name_is_not_used(world):
    await in_memory(world)
    world.cluster.remove(MASTER_KEYS, NAMESPACE, NAME)
    world.apply(uid="22222222-98a0-4f0e-8f5b-3c9d1d6a7a10", **EXTERNAL)

    await world.reconcile()

    assert world.said()["Ready"] == ("False", "WaitingForKey")
    assert isinstance(await world.keys_of(), NoMasterKey)


async def test_a_status_that_was_not_written_loads_no_key(world):
    world.place(KEY)
    world.apply(**EXTERNAL)
    world.cluster.fail_next("replace_status", "masterkeys", ConflictError("modified"))

    with pytest.raises(ConflictError):
        await world.reconcile()

    assert (world.keyring.memory(world.object()), world.secret(PROVIDED) is not None) == (None, True)
