"""What every reconciler with a Secret keeps to, tried with each such kind of `registry.KINDS` (S22).

A Secret of another owner is left alone. A Secret of ours that another writer has changed comes back as it was, ever
more slowly.
"""

import pytest

from tallystick.objects.ports import NotFoundError
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import API_VERSION
from tests.builders import OTHER_UID
from tests.worlds.contracts import ContractWorld, content, of_kinds_with_a_secret, world_of
from tests.worlds.damages import (
    change_a_label,
    damage_and_make_immutable,
    delete,
    edit_the_owner,
    edit_the_token,
    empty_it,
    recreate_with_another_token,
    strip_the_labels,
)

DAMAGES = [
    delete,
    edit_the_token,
    edit_the_owner,
    empty_it,
    strip_the_labels,
    change_a_label,
    damage_and_make_immutable,
    recreate_with_another_token,
]


@pytest.fixture
def world(kind) -> ContractWorld:
    return world_of(kind)


@pytest.fixture
def status_write(kind):
    return ("replace_status", kind.resource.plural)


def foreign_secret(world, kind, owners=(), *, labelled=False):
    """Take the name of the object's Secret, which is created by another writer."""
    meta = world.object().metadata
    secret = {
        "metadata": {
            "name": f"{meta.name}{kind.secret_suffix}",
            "namespace": meta.namespace,
            "labels": {"tallystick.dev/kind": kind.resource.kind} if labelled else {},
            "ownerReferences": list(owners),
        },
        "data": {"token": "bWluZQ=="},
    }
    return world.cluster.put(SECRETS, secret)


# A Secret of another owner.


def owned_by(kind, name, api_version=API_VERSION):
    return [{"apiVersion": api_version, "kind": kind, "name": name, "uid": OTHER_UID, "controller": True}]


FOREIGN = [
    pytest.param([], "already exists and is not owned by {kind} edge/{name}.", id="nobody's"),
    pytest.param(
        owned_by("ConnectionConfiguration", "other"),
        "already belongs to ConnectionConfiguration edge/other.",
        id="a ConnectionConfiguration's",
    ),
    pytest.param(
        owned_by("PairingToken", "other"), "already belongs to PairingToken edge/other.", id="a PairingToken's"
    ),
    pytest.param(
        owned_by("PairingToken", "press-1\nReady: True"),
        "already exists and is not owned by {kind} edge/{name}.",
        id="of a name that is no name (S28)",
    ),
    pytest.param(
        owned_by("Deployment", "web", "apps/v1"),
        "already belongs to Deployment edge/web.",
        id="another kind's",
    ),
    pytest.param(None, "already exists and is not owned by {kind} edge/{name}.", id="ours only by a weak reference"),
]


@of_kinds_with_a_secret
@pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "plain"])
@pytest.mark.parametrize(("owners", "text"), FOREIGN)
async def test_s22_a_foreign_secret_is_never_touched_and_its_owner_is_named(
    world, kind, status_write, owners, text, labelled
):
    world.apply()
    meta = world.object().metadata
    weak = [{"apiVersion": API_VERSION, "kind": kind.resource.kind, "name": meta.name, "uid": meta.uid}]
    before = foreign_secret(world, kind, weak if owners is None else owners, labelled=labelled)

    first = await world.reconcile()
    told, written = world.said(), world.writes()
    again = await world.reconcile()

    assert world.secret() == before
    assert told == world.said() == {"Ready": ("False", "SecretConflict"), "Stalled": ("True", "SecretConflict")}
    assert world.message() == (
        f"Secret edge/{before['metadata']['name']} {text.format(kind=kind.resource.kind, name=meta.name)} "
        f"Delete the Secret, or create a {kind.resource.kind} with a different spec.secretName."
    )
    assert world.events.reasons() == ["SecretConflict"]
    assert world.audit.decisions() == [("refuse", "stalled")]
    assert (first.requeue_after, again.requeue_after) == (10.0, 10.0)
    # The first look may plan before it finds the Secret. A create is refused by the API server.
    assert {*written} <= {status_write, ("create", "secrets")}
    assert {*world.writes()} <= {("create", "secrets")}


@of_kinds_with_a_secret
async def test_a_conflict_ends_when_the_foreign_secret_is_gone(world, kind):
    await world.obstruct()
    await world.reconcile()

    delete(world)
    await world.reconcile()

    assert world.said() == {"Ready": ("True", "Issued")}
    assert content(world.secret())[3][0]["uid"] == world.object().metadata.uid


@of_kinds_with_a_secret
async def test_s22_a_foreign_secret_in_the_place_of_ours_is_left_alone_and_then_ours_comes_back(world, kind):
    await world.settle()
    issued, due = content(world.secret()), (await world.reconcile()).requeue_at
    delete(world)
    foreign = foreign_secret(world, kind)

    stalled = await world.reconcile()
    untouched, said = world.secret() == foreign, world.said()["Ready"]
    delete(world)
    await world.reconcile()

    assert (untouched, said) == (True, ("False", "SecretConflict"))
    assert (stalled.requeue_after, stalled.requeue_at) == (10.0, due)
    assert (content(world.secret()), world.said()) == (issued, {"Ready": ("True", "Issued")})


# Healing.


@of_kinds_with_a_secret
@pytest.mark.parametrize("damage", DAMAGES)
async def test_s22_the_same_secret_comes_back_after_another_client_did(world, kind, damage):
    await world.settle()
    issued, status, decisions = content(world.secret()), world.object().status, world.audit.decisions()
    damage(world)

    world.clock.advance(30)
    await world.reconcile()
    world.cluster.calls.clear()
    await world.reconcile()

    assert content(world.secret()) == issued
    assert world.object().status == status
    assert world.audit.decisions() == [*decisions, ("heal", "ok")]
    assert (world.cluster.calls, world.events.warnings) == ([], [])


@of_kinds_with_a_secret
async def test_an_edit_in_the_same_instant_is_not_overwritten_blindly(world, kind):
    await world.settle()
    issued = content(world.secret())
    edit_the_token(world)
    world.cluster.before_next("replace", "secrets", lambda: empty_it(world))

    await world.reconcile_until_done()

    assert content(world.secret()) == issued


@of_kinds_with_a_secret
async def test_s22_nothing_is_healed_when_the_owner_is_gone(world, kind):
    await world.settle()
    meta = world.object().metadata
    delete(world)
    world.watch()
    world.cluster.remove(kind.resource, meta.namespace, meta.name)

    with pytest.raises(NotFoundError):
        await world.reconcile(watched=False)

    assert world.secret() is None


@of_kinds_with_a_secret
async def test_s22_nothing_is_healed_when_the_owner_is_being_deleted(world, kind):
    await world.settle()
    delete(world)
    world.watch()
    world.start_deleting()

    await world.reconcile(watched=False)

    assert world.secret() is None
    assert ("create", "secrets") not in world.writes()


@of_kinds_with_a_secret
async def test_s22_healing_backs_off_from_a_client_that_keeps_changing_the_secret(world, kind):
    await world.settle()
    pauses, due = [], set()

    for _ in range(5):
        edit_the_token(world)
        result = await world.reconcile()
        pauses.append(result.requeue_after or 0.0)
        due.add(result.requeue_at)
        world.clock.advance(result.requeue_after or 0.0)
        await world.reconcile()
        assert (await world.reconcile()).requeue_after is None

    # The pause delays nothing else: the object is still due when it was.
    assert (pauses, len(due), None in due) == ([0.0, 0.0, 1.0, 2.0, 4.0], 1, False)


@of_kinds_with_a_secret
async def test_a_secret_that_was_left_alone_for_long_is_healed_at_once_again(world, kind):
    await world.settle()
    issued = content(world.secret())
    for _ in range(3):
        edit_the_token(world)
        world.clock.advance((await world.reconcile()).requeue_after or 0.0)
        await world.reconcile()
    world.clock.advance(600)

    edit_the_token(world)

    assert (await world.reconcile()).requeue_after is None
    assert content(world.secret()) == issued
