"""The end of a target or of a join key: its copies are deleted, a finalizer waits for them, and others keep theirs."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.domain.join_key_copies import FINALIZER
from tallystick.objects.ports import RefusedError
from tallystick.schema.builtin import SECRETS
from tests.worlds.join_key_world import NAME, NAMESPACE, OWN, JoinKeyWorld, targets


@pytest.fixture
def world():
    return JoinKeyWorld()


def finalizers(world):
    return world.raw()["metadata"].get("finalizers") or []


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
