"""Sharing a join key: sealed first, then its copies, then the status; and nothing that is not needed."""

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.schema.builtin import SECRETS
from tests.builders import OTHER_UID, UID
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key
from tests.worlds.join_key_world import NAME, NAMESPACE, OWN, PROVIDED, SEALED, JoinKeyWorld, raw_join_key, targets

SECRET_WRITE, STATUS, FINALIZER = ("create", "secrets"), ("replace_status", "joinkeys"), ("replace", "joinkeys")


async def test_a_generated_key_is_sealed_first_then_shared_then_recorded():
    world = JoinKeyWorld()
    world.apply(services=["artifactory", "access"])

    await world.reconcile()

    assert [(call.verb, call.plural, call.name) for call in world.cluster.writes()] == [
        ("create", "secrets", SEALED),
        ("create", "secrets", OWN),
        ("replace_status", "joinkeys", NAME),
    ]
    (key,), values = world.held(), world.values()
    assert values == {
        "join-key": key.to_hex(),
        "key-id": key.fingerprint,
        "cluster-name": NAME,
        "services": "artifactory,access",
    }
    assert (world.opened(), key.bits) == (key, 256)
    status = world.object().status
    assert (status.fingerprint, status.key_version, status.key_size) == (key.fingerprint, 1, 256)
    assert (status.state, status.source, status.serial) == ("Active", "Generated", 1)
    assert status.sealed is not None
    assert status.sealed.master_key == a_master_key().fingerprint
    assert world.said() == {"Ready": ("True", "Shared")}
    assert world.message() == (
        "1 of 1 Secrets hold the key; mount jpd-1-join-key, and see docs/join-keys.md for how a service signs with it"
    )


async def test_the_secrets_have_the_labels_and_owners_of_the_documentation():
    world = JoinKeyWorld()
    key = await world.issue(targets=targets("rt"))

    own, sealed, copy = world.secret(), world.secret(name=SEALED), world.secret("rt")
    labels = {
        "app.kubernetes.io/managed-by": "tallystick",
        "tallystick.dev/kind": "JoinKey",
        "tallystick.dev/name": NAME,
        "tallystick.dev/namespace": NAMESPACE,
        "tallystick.dev/uid": UID,
    }
    assert (
        own["metadata"]["labels"] == copy["metadata"]["labels"] == labels | {"tallystick.dev/key-id": key.fingerprint}
    )
    assert sealed["metadata"]["labels"] == labels | {"tallystick.dev/key-id": a_master_key().fingerprint}
    assert {body["type"] for body in (own, copy)} == {"tallystick.dev/join-key"}
    assert sealed["type"] == "tallystick.dev/sealed-join-key"
    assert [one["uid"] for one in own["metadata"]["ownerReferences"]] == [UID]
    assert [one["uid"] for one in sealed["metadata"]["ownerReferences"]] == [UID]
    assert "ownerReferences" not in copy["metadata"]


async def test_a_join_key_costs_three_writes_and_one_per_target_and_one_finalizer():
    world = JoinKeyWorld()
    world.apply(targets=targets("rt", "mc/join-key"))

    await world.reconcile()

    assert world.writes() == [SECRET_WRITE, FINALIZER, SECRET_WRITE, SECRET_WRITE, SECRET_WRITE, STATUS]
    assert world.held() == world.held("rt") == world.held("mc", "join-key")
    assert world.message().startswith("3 of 3 Secrets hold the key; ")
    assert [
        (one.namespace, one.secret_name, one.in_sync, one.key_version) for one in world.object().status.targets
    ] == [
        (NAMESPACE, OWN, True, 1),
        ("rt", OWN, True, 1),
        ("mc", "join-key", True, 1),
    ]


async def test_a_restart_a_second_apply_and_a_resync_write_nothing_and_read_nothing():
    world = JoinKeyWorld()
    await world.issue(targets=targets("rt"))

    world.restart()
    await world.reconcile()
    await world.reconcile()

    assert world.cluster.calls == []


async def test_a_target_that_is_named_twice_is_one_copy_and_the_own_namespace_may_be_one():
    world = JoinKeyWorld()
    await world.issue(targets=targets("rt", f"rt/{OWN}", NAMESPACE, f"{NAMESPACE}/extra"))

    assert [str(body["metadata"]["name"]) for body in world.copies()] == ["extra", OWN, OWN]
    assert len(world.object().status.targets) == 3
    assert world.secret(name="extra")["metadata"]["ownerReferences"][0]["uid"] == UID
    assert world.said() == {"Ready": ("True", "Shared")}


async def test_r47_a_provided_key_takes_the_place_of_a_generated_one():
    world = JoinKeyWorld()
    world.provide(a_join_key("mine", 128).to_hex().upper() + "\n")

    key = await world.issue(secretRef={"name": PROVIDED})

    assert key == a_join_key("mine", 128)
    assert (world.object().status.source, world.object().status.key_size) == ("Provided", 128)
    assert world.values()["join-key"] == key.to_hex()
    assert [line.action for line in world.audit.lines] == ["import-key", "seal-key", "share-key"]


async def test_r50_one_secret_of_a_user_gives_its_key_to_many_clusters():
    world, reference = JoinKeyWorld(), {"name": PROVIDED}
    world.provide(a_join_key("mine"))
    first = await world.issue(secretRef=reference)
    world.cluster.put(JOIN_KEYS, raw_join_key(uid=OTHER_UID, name="jpd-2", secretRef=reference))
    world.watch()

    await world.controller.reconcile(NAMESPACE, "jpd-2")

    copies = [world.values(), world.values(name="jpd-2-join-key")]
    assert [one["cluster-name"] for one in copies] == [NAME, "jpd-2"]
    assert [one["join-key"] for one in copies] == [first.to_hex()] * 2
    assert first == a_join_key("mine")


async def test_the_deletion_of_the_provided_secret_changes_nothing():
    world = JoinKeyWorld()
    world.provide(a_join_key("mine"))
    key = await world.issue(secretRef={"name": PROVIDED})
    before = world.object().status

    world.provide(None)
    await world.reconcile()

    assert (world.writes(), world.held(), world.object().status) == ([], [key], before)


async def test_a_join_key_waits_for_its_master_key_and_for_its_own_secret():
    world = JoinKeyWorld()
    world.masters.keys.clear()
    world.apply(secretRef={"name": PROVIDED})

    await world.reconcile()
    without_master = world.said()
    world.open_master(a_master_key())
    await world.reconcile()
    without_key = world.said(), world.message()
    world.provide(a_join_key("mine"))
    await world.reconcile()

    assert without_master == {
        "Ready": ("False", "WaitingForMasterKey"),
        "Reconciling": ("True", "WaitingForMasterKey"),
    }
    assert without_key == (
        {"Ready": ("False", "WaitingForKey"), "Reconciling": ("True", "WaitingForKey")},
        'Secret edge/jk does not exist yet; create it with type tallystick.dev/join-key and key "join-key"',
    )
    assert world.said() == {"Ready": ("True", "Shared")}
    assert world.object().status.state == "Active"


async def test_s20_a_secret_of_another_type_is_never_used():
    world = JoinKeyWorld()
    world.provide(a_join_key("mine"), secret_type="Opaque")
    world.apply(secretRef={"name": PROVIDED})

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "WrongSecretType")
    assert (world.copies(), world.secret(name=SEALED), world.object().status.state) == ([], None, "Pending")


async def test_the_bytes_of_the_master_key_are_refused():
    world = JoinKeyWorld()
    world.provide(a_master_key().to_hex())
    world.apply(secretRef={"name": PROVIDED})

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "KeyReuse")
    assert (world.copies(), world.secret(name=SEALED)) == ([], None)
    assert world.events.reasons() == ["KeyReuse"]


async def test_nothing_is_shared_that_is_not_sealed():
    world = JoinKeyWorld()
    world.close_master()
    world.apply(targets=targets("rt"))

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "MasterKeyRequired")
    assert (world.cluster.all(SECRETS), world.raw()["metadata"].get("finalizers")) == ([], None)


async def test_a_key_that_is_sealed_already_is_gone_on_with():
    world = JoinKeyWorld()
    key = await world.issue()
    world.delete_secret(NAMESPACE, OWN)
    world.cluster.edit(JOIN_KEYS, NAMESPACE, NAME, lambda body: body.pop("status"))
    world.restart()

    await world.reconcile()

    assert (world.held(), world.object().status.fingerprint) == ([key], key.fingerprint)


async def test_a_sealed_key_of_a_lost_master_key_is_not_replaced_by_another_key():
    world = JoinKeyWorld()
    await world.issue()
    world.delete_secret(NAMESPACE, OWN)
    world.cluster.edit(JOIN_KEYS, NAMESPACE, NAME, lambda body: body.pop("status"))
    world.open_master(a_master_key("other"))
    before = world.secret(name=SEALED)

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "MasterKeyMismatch")
    assert a_master_key().fingerprint in world.message()
    assert a_master_key("other").fingerprint in world.message()
    assert (world.secret(name=SEALED), world.copies()) == (before, [])


async def test_s22_a_foreign_sealed_secret_stops_the_issue_and_is_left_alone():
    world = JoinKeyWorld()
    foreign = world.cluster.put(SECRETS, {"metadata": {"name": SEALED, "namespace": NAMESPACE}})
    world.apply(targets=targets("rt"))

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "SecretConflict")
    assert world.message().startswith(f"Secret {NAMESPACE}/{SEALED} exists and is not managed by JoinKey edge/jpd-1")
    assert (world.secret(name=SEALED), world.copies()) == (foreign, [])


async def test_a_join_key_of_another_uid_is_not_adopted():
    world = JoinKeyWorld()
    await world.issue()
    world.cluster.remove(JOIN_KEYS, NAMESPACE, NAME)
    world.apply(uid=OTHER_UID)

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "SecretConflict")


async def test_no_value_of_a_key_is_in_the_status_the_audit_log_or_an_event():
    world = JoinKeyWorld()
    key = await world.issue(targets=targets("rt"))
    world.edit(serial=2)
    await world.reconcile()

    values = {one.to_hex() for one in world.held()} | {a_master_key().to_hex()}
    public = str((world.raw(), world.audit.lines, world.events.warnings))
    assert key.to_hex() in values
    assert [value for value in values if value in public] == []
