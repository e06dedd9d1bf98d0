"""Targets: a namespace or a Secret in the way is named, the others are served, and nothing foreign is touched."""

import pytest

from tallystick.clusterkeys.domain.join_key_copies import FINALIZER
from tallystick.objects.ports import RefusedError
from tallystick.schema.builtin import SECRETS
from tests.builders import OTHER_UID, UID
from tests.unit.clusterkeys.vectors import a_join_key
from tests.worlds.join_key_world import NAME, NAMESPACE, OWN, JoinKeyWorld, targets


@pytest.fixture
def world():
    return JoinKeyWorld()


def finalizers(world):
    return world.raw()["metadata"].get("finalizers") or []


def in_sync(world):
    return [(one.namespace, one.in_sync, one.reason) for one in world.object().status.targets]


def foreign(world, namespace="rt", name=OWN, **more):
    return world.cluster.put(SECRETS, {"metadata": {"name": name, "namespace": namespace}} | more)


async def test_a_missing_namespace_is_named_and_the_others_are_served(world):
    world.cluster.missing_namespaces.add("gone")
    world.apply(targets=targets("gone", "rt"))

    result = await world.reconcile()

    assert world.said() == {
        "Ready": ("False", "TargetNamespaceNotFound"),
        "Stalled": ("True", "TargetNamespaceNotFound"),
    }
    text = "namespace gone does not exist; create it, or remove it from spec.targets"
    assert world.message() == f"2 of 3 Secrets hold the key; {text}"
    assert in_sync(world) == [(NAMESPACE, True, None), ("gone", False, "TargetNamespaceNotFound"), ("rt", True, None)]
    assert world.object().status.targets[1].message == text
    assert (world.object().status.copies.in_sync, world.object().status.copies.total) == (2, 3)
    assert (result.requeue_after, world.events.reasons()) == (10.0, ["TargetNamespaceNotFound"])


async def test_a_namespace_that_exists_at_last_gets_its_copy_and_that_is_no_drift(world):
    world.cluster.missing_namespaces.add("gone")
    key = await world.issue(targets=targets("gone"))
    await world.reconcile()
    unchanged = world.writes()

    world.cluster.missing_namespaces.clear()
    await world.reconcile()

    assert (world.held("gone"), world.said()) == ([key], {"Ready": ("True", "Shared")})
    assert ("replace_status", "joinkeys") not in unchanged
    assert world.events.reasons() == ["TargetNamespaceNotFound"]


async def test_a_namespace_that_is_being_deleted_is_named(world):
    world.cluster.terminating.add("rt")
    world.apply(targets=targets("rt"))

    await world.reconcile()

    reason = "TargetNamespaceTerminating"
    assert world.said() == {"Ready": ("False", reason), "Reconciling": ("True", reason)}
    assert in_sync(world) == [(NAMESPACE, True, None), ("rt", False, reason)]


async def test_a_namespace_that_the_operator_does_not_serve_is_named_and_never_asked_about():
    world = JoinKeyWorld(watch_namespaces=(NAMESPACE, "rt"))
    world.apply(targets=targets("mc", "rt"))

    await world.reconcile()
    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "TargetNotWatched")
    assert world.message() == (
        "2 of 3 Secrets hold the key; namespace mc is not among those that the operator serves (--watch-namespaces), "
        "so a copy in it stays as it is; add it there, or remove it from spec.targets and delete the Secret"
    )
    assert [call for call in world.cluster.calls if call.namespace == "mc"] == []


async def test_a_copy_in_a_namespace_that_is_served_no_longer_stays_as_it_is():
    world = JoinKeyWorld()
    key = await world.issue(targets=targets("rt"))
    world.watch_namespaces = (NAMESPACE,)
    world.restart()

    await world.reconcile()
    said = world.said()["Stalled"]
    world.edit(serial=2, overlap="0s")
    for _ in range(4):
        await world.reconcile()
    replaced = world.held()
    world.start_deleting()
    await world.reconcile()
    world.collect()

    assert said == ("True", "TargetNotWatched")
    assert world.held("rt") == [key] != replaced
    assert world.raw() == {}, "nothing holds up the deletion"
    assert [call for call in world.cluster.calls if call.namespace == "rt"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "tallystick.dev/join-key", "data": {"join-key": ""}},
        {"type": "tallystick.dev/join-key", "metadata": {"labels": {"tallystick.dev/uid": OTHER_UID}}},
        {"type": "Opaque", "metadata": {"labels": {"tallystick.dev/uid": UID, "tallystick.dev/kind": "JoinKey"}}},
        {
            "type": "tallystick.dev/join-key",
            "metadata": {"labels": {"tallystick.dev/uid": UID, "tallystick.dev/kind": "JoinKey"}},
            "data": {"password": "cGFzcw=="},
        },
    ],
    ids=["plain", "no label", "another uid", "another type", "another data key"],
)
async def test_s22_a_foreign_secret_is_named_and_never_touched_even_when_all_ends(world, body):
    place = {"name": OWN, "namespace": "rt", **body.get("metadata", {})}
    before = world.cluster.put(SECRETS, {**body, "metadata": place})
    world.apply(targets=targets("rt", "mc"))

    await world.reconcile()
    said, served = world.said(), world.held("mc") == world.held()
    world.edit(targets=[])
    await world.reconcile()
    world.edit(targets=targets("rt"))
    await world.reconcile()
    world.start_deleting()
    await world.reconcile()

    assert (said["Stalled"], served) == (("True", "SecretConflict"), True)
    assert world.secret("rt") == before


async def test_the_text_about_a_foreign_secret_names_it_and_what_to_do(world):
    foreign(world)
    world.apply(targets=targets("rt"))

    await world.reconcile()

    assert world.message() == (
        "1 of 2 Secrets hold the key; Secret rt/jpd-1-join-key exists and is not managed by JoinKey edge/jpd-1; "
        "delete it, or set another secretName in spec.targets"
    )


async def test_a_foreign_secret_in_the_own_namespace_does_not_keep_the_targets_waiting(world):
    before = foreign(world, NAMESPACE)
    world.apply(targets=targets("rt"))

    await world.reconcile()

    assert world.message().endswith("delete it, or create a JoinKey with another name")
    assert (world.secret(), len(world.held("rt"))) == (before, 1)


async def test_a_conflict_that_lasts_is_audited_once(world):
    foreign(world, NAMESPACE)
    world.apply()
    for _ in range(3):
        await world.reconcile()
        world.clock.advance(10)

    assert [line.action for line in world.audit.lines] == ["generate-key", "seal-key", "refuse"]


async def test_a_foreign_secret_that_is_gone_makes_room(world):
    foreign(world)
    world.apply(targets=targets("rt"))
    await world.reconcile()
    world.delete_secret("rt", OWN)

    await world.reconcile()

    assert (world.held("rt"), world.said()) == (world.held(), {"Ready": ("True", "Shared")})


async def test_of_two_join_keys_for_one_secret_the_other_names_it(world):
    foreign(
        world,
        type="tallystick.dev/join-key",
        metadata={
            "name": OWN,
            "namespace": "rt",
            "labels": {"tallystick.dev/kind": "JoinKey", "tallystick.dev/uid": OTHER_UID},
        },
        stringData={"join-key": a_join_key("theirs").to_hex()},
    )
    world.apply(targets=targets("rt"))

    await world.reconcile()

    assert world.said()["Stalled"] == ("True", "SecretConflict")
    assert world.held("rt") == [a_join_key("theirs")]


async def test_a_write_that_the_api_server_rejects_for_one_target_is_named(world):
    await world.issue()
    world.edit(targets=targets("rt", "mc"))
    refused = RefusedError("secrets is forbidden: exceeded quota: none, requested: count/secrets=1")
    world.cluster.fail_next("create", "secrets", refused)

    await world.reconcile()

    assert in_sync(world) == [(NAMESPACE, True, None), ("rt", False, "WriteRejected"), ("mc", True, None)]
    assert world.said()["Reconciling"] == ("True", "WriteRejected")
    assert "raise the quota, or delete objects that it counts" in world.message()


async def test_an_added_target_costs_its_copy_the_finalizer_and_the_status(world):
    key = await world.issue()
    world.audit.lines.clear()

    world.edit(targets=targets("rt"))
    await world.reconcile()

    assert world.writes() == [("replace", "joinkeys"), ("create", "secrets"), ("replace_status", "joinkeys")]
    assert (world.held("rt"), finalizers(world), world.events.warnings) == ([key], [FINALIZER], [])
    assert [(line.action, line.facts["target"]) for line in world.audit.lines] == [("share-key", f"rt/{OWN}")]


async def test_a_target_with_the_name_of_the_sealed_copy_is_a_conflict(world):
    await world.issue(targets=targets(f"{NAMESPACE}/{NAME}-join-key-sealed"))

    assert world.said()["Stalled"] == ("True", "SecretConflict")
    assert world.opened() == world.held()[0]
