"""Targets: a namespace or a Secret in the way is named, the others are served, and nothing foreign is touched."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
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
        "2 of 3 Secrets hold the key; namespace mc is not among those that the operator serves (--watch-namespaces); "
        "add it there, or remove it from spec.targets"
    )
    assert [call for call in world.cluster.calls if call.namespace == "mc"] == []


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


async def test_a_removed_target_loses_its_copy_and_the_last_one_the_finalizer(world):
    await world.issue(targets=targets("rt", "mc"))

    world.edit(targets=targets("mc"))
    await world.reconcile()
    after_one = (world.secret("rt"), finalizers(world))
    world.edit(targets=[])
    await world.reconcile()

    assert after_one == (None, [FINALIZER])
    assert (world.secret("mc"), finalizers(world)) == (None, [])
    assert [one.namespace for one in world.object().status.targets] == [NAMESPACE]
    assert [line.facts["target"] for line in world.audit.lines if line.action == "forget-key"] == [
        f"rt/{OWN}",
        f"mc/{OWN}",
    ]


async def test_another_secret_name_moves_the_copy(world):
    key = await world.issue(targets=targets("rt/one"))

    world.edit(targets=targets("rt/two"))
    await world.reconcile()

    assert (world.secret("rt", "one"), world.held("rt", "two")) == (None, [key])


async def test_a_target_of_the_own_namespace_that_is_removed_loses_its_copy_and_the_own_copy_stays(world):
    key = await world.issue(targets=targets(f"{NAMESPACE}/extra"))
    world.edit(targets=[])

    await world.reconcile()

    assert (world.secret(name="extra"), world.held()) == (None, [key])


async def test_a_target_with_the_name_of_the_sealed_copy_is_a_conflict(world):
    await world.issue(targets=targets(f"{NAMESPACE}/{NAME}-join-key-sealed"))

    assert world.said()["Stalled"] == ("True", "SecretConflict")
    assert world.opened() == world.held()[0]


async def test_a_join_key_without_targets_elsewhere_has_no_finalizer(world):
    await world.issue(targets=targets(f"{NAMESPACE}/extra"))

    assert finalizers(world) == []


async def test_the_finalizer_is_there_before_the_first_copy(world):
    world.apply(targets=targets("rt"))
    seen = []
    world.cluster.hooks = {number: lambda: seen.append((world.secret("rt"), finalizers(world))) for number in (3, 4, 5)}

    await world.reconcile()

    assert (None, [FINALIZER]) in seen
    assert [one for one in seen if one[0] is not None and one[1] == []] == []


@pytest.mark.parametrize("overlap", ["10m", "0s"])
async def test_an_edit_that_replaces_the_key_and_adds_a_target_sets_the_finalizer_first(world, overlap):
    await world.issue()
    world.edit(serial=2, overlap=overlap, targets=targets("rt"))

    await world.reconcile()

    written = [(call.verb, call.plural) for call in world.cluster.writes()]
    assert written.index(("replace", "joinkeys")) < written.index(("create", "secrets"))
    assert (world.held("rt"), finalizers(world)) == (world.held(), [FINALIZER])


async def test_finalizers_and_labels_of_others_on_the_object_stay(world):
    world.apply(targets=targets("rt"))
    world.cluster.edit(
        JOIN_KEYS, NAMESPACE, NAME, lambda body: body["metadata"].update(finalizers=["b.example/x"], labels={"a": "b"})
    )

    await world.reconcile()
    shared = finalizers(world)
    world.edit(targets=[])
    await world.reconcile()

    assert (shared, finalizers(world)) == (["b.example/x", FINALIZER], ["b.example/x"])
    assert world.raw()["metadata"]["labels"] == {"a": "b"}


async def test_a_deleted_join_key_takes_all_its_copies_with_it(world):
    await world.issue(targets=targets("rt", "mc", f"{NAMESPACE}/extra"))

    world.start_deleting()
    await world.reconcile()
    world.collect()

    assert (world.raw(), world.cluster.all(SECRETS)) == ({}, [])


async def test_a_copy_that_the_watch_has_not_delivered_yet_goes_with_its_join_key(world):
    await world.issue(targets=targets("rt"))
    world.start_deleting()
    world.restart()
    controller = world.controller
    world.watch()
    world.cache.forget(SECRETS, "rt", OWN, world.secret("rt")["metadata"]["uid"])

    await controller.reconcile(NAMESPACE, NAME)

    assert (world.secret("rt"), finalizers(world)) == (None, [])


@pytest.mark.parametrize("place", [("rt", OWN), (NAMESPACE, "extra")])
async def test_a_copy_of_a_removed_target_that_the_watch_has_not_delivered_yet_goes_too(world, place):
    await world.issue(targets=targets("/".join(place)))
    world.edit(targets=[])
    world.watch()
    world.cache.forget(SECRETS, *place, world.secret(*place)["metadata"]["uid"])

    await world.reconcile(watched=False)

    assert (world.secret(*place), finalizers(world)) == (None, [])


async def test_a_secret_that_has_become_foreign_stays_when_its_target_is_removed(world):
    await world.issue(targets=targets("rt"))
    world.cluster.edit(SECRETS, "rt", OWN, lambda body: body["metadata"].update(labels={}))
    before = world.secret("rt")

    world.edit(targets=[])
    await world.reconcile()

    assert (world.secret("rt"), finalizers(world)) == (before, [])


async def test_a_copy_that_a_finalizer_of_others_holds_does_not_hold_the_join_key(world):
    await world.issue(targets=targets("rt"))
    world.cluster.edit(SECRETS, "rt", OWN, lambda body: body["metadata"].update(finalizers=["b.example/x"]))

    world.start_deleting()
    await world.reconcile()
    await world.reconcile()

    assert finalizers(world) == []
    assert "deletionTimestamp" in world.secret("rt")["metadata"]


async def test_a_copy_in_a_namespace_that_is_gone_does_not_hold_the_join_key(world):
    await world.issue(targets=targets("rt"))
    world.delete_secret("rt", OWN)
    world.cluster.missing_namespaces.add("rt")

    world.start_deleting()
    await world.reconcile()

    assert finalizers(world) == []


async def test_a_rejected_deletion_of_a_copy_keeps_the_finalizer_and_is_reported(world):
    await world.issue(targets=targets("rt"))
    world.cluster.refusing["delete", "secrets"] = RefusedError('admission webhook "x" denied the request: no')

    world.start_deleting()
    result = await world.reconcile()

    assert (finalizers(world), result.failed) == ([FINALIZER], True)
    assert world.said()["Reconciling"] == ("True", "WriteRejected")
