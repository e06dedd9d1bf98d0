"""What every reconciler keeps to, tried with each kind of `registry.KINDS`; a new kind costs a world, not these tests.

A status is written once for each change, a stall is reported once, a Secret of another owner is left alone, and a
Secret of ours that another writer has changed comes back as it was, ever more slowly (S22).
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.objects.ports import NotFoundError, RefusedError, UnavailableError
from tallystick.registry import KINDS
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import API_VERSION
from tests.builders import OTHER_UID
from tests.fakes import NOON
from tests.worlds.contracts import ContractWorld, world_of
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

WITH_A_SECRET = [kind for kind in KINDS if kind.secret_suffix]
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

of_all_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
of_kinds_with_a_secret = pytest.mark.parametrize("kind", WITH_A_SECRET, ids=lambda kind: kind.resource.kind)


@pytest.fixture
def world(kind) -> ContractWorld:
    return world_of(kind)


@pytest.fixture
def status_write(kind):
    return ("replace_status", kind.resource.plural)


def lines_about(world, kind):
    """The audit lines about objects of a kind."""
    return [line for line in world.audit.lines if line.facts.get("kind") == kind.resource.kind]


def reported(world, kind):
    """How many audit lines and how many events there are about objects of a kind."""
    return len(lines_about(world, kind)), sum(event.kind == kind.resource.kind for event in world.events.warnings)


def content(secret):
    meta = secret["metadata"]
    return secret["data"], secret["type"], meta["labels"], meta["ownerReferences"], secret.get("immutable")


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


def test_a_kind_without_a_world_fails_with_what_to_write():
    class Unknown(KINDS[0].model):
        RESOURCE = replace(KINDS[0].resource, plural="widgets", kind="Widget")

    with pytest.raises(pytest.fail.Exception, match=r"Widget is in KINDS, but no world .* add a line to WORLDS"):
        world_of(replace(KINDS[0], model=Unknown))


# A no-op.


@of_all_kinds
async def test_looking_again_writes_nothing_and_asks_nothing(world, kind):
    await world.settle()
    before = reported(world, kind)

    await world.reconcile()

    assert (world.cluster.calls, reported(world, kind)) == ([], before)


@of_all_kinds
async def test_a_restart_writes_nothing_and_asks_nothing(world, kind):
    await world.settle()
    before = reported(world, kind)
    world.clock.advance(60)

    world.restart()
    await world.reconcile()

    # Only memory holds the keys that a controller has read, so a new one reads them once.
    reads = [("get", "secrets")] if kind.resource == MASTER_KEYS else []
    assert ([call[:2] for call in world.cluster.calls], reported(world, kind)) == (reads, before)


@of_all_kinds
async def test_an_edit_of_labels_writes_nothing(world, kind):
    await world.settle()
    meta = world.object().metadata

    world.cluster.edit(
        kind.resource, meta.namespace, meta.name, lambda body: body["metadata"].update(labels={"team": "a"})
    )
    await world.reconcile()

    assert world.writes() == []


@of_all_kinds
async def test_an_object_that_is_not_there_costs_nothing(world, kind):
    await world.reconcile()

    assert (world.cluster.calls, world.audit.lines, world.events.warnings) == ([], [], [])


@of_all_kinds
async def test_an_edit_that_raises_the_generation_costs_one_status_write(world, kind, status_write):
    await world.settle()
    before = world.object().status

    world.edit(description="the press in hall 3")
    await world.reconcile()
    await world.reconcile()

    assert world.writes() == [status_write]
    after = world.object().status
    assert (before.observed_generation, after.observed_generation) == (1, 2)
    assert {condition.observed_generation for condition in after.conditions} == {2}


# The audit log.


@of_all_kinds
async def test_every_audit_line_names_the_object(world, kind):
    await world.settle()

    meta = world.object().metadata
    about = {"kind": kind.resource.kind, "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
    found = [{key: line.facts[key] for key in about} for line in lines_about(world, kind)]
    assert found == [about] * len(found)
    assert found


# A stall.


@of_all_kinds
async def test_a_stall_is_reported_once(world, kind, status_write):
    await world.obstruct()
    world.writes()
    audited, warned = reported(world, kind)

    await world.reconcile()
    first, said = world.writes(), world.said()
    for _ in range(2):
        await world.reconcile()
        world.restart()

    reason = said.get("Ended", said.get("Stalled", ("", "")))[1]
    assert said in (
        {"Ended": ("True", reason)},
        {"Ready": ("False", reason), "Stalled": ("True", reason)},
        {"Succeeded": ("Unknown", reason), "Stalled": ("True", reason)},
    )
    assert reported(world, kind) == (audited + 1, warned + 1)
    assert world.events.warnings[-1].reason == reason
    assert first[-1] == status_write
    assert status_write not in world.writes()


# A rejection by the API server.


def refuse(world, verb, plural, refusal):
    world.cluster.refusing[verb, plural] = refusal


async def look(world, times=3):
    """Let the controller look again and again; return its results."""
    return [await world.reconcile() for _ in range(times)]


REFUSALS = [
    pytest.param(
        'secrets "x" is forbidden: exceeded quota: none, requested: count/secrets=1, used: count/secrets=0, '
        "limited: count/secrets=0",
        "raise the quota, or delete objects that it counts",
        id="a quota",
    ),
    pytest.param(
        "secrets \"x\" is forbidden: ValidatingAdmissionPolicy 'others' with binding 'others' denied request: no.",
        "change this policy or webhook so that it permits the ServiceAccounts of the operator",
        id="a policy",
    ),
    pytest.param(
        'admission webhook "x.example.com" denied the request: no',
        "change this policy or webhook so that it permits the ServiceAccounts of the operator",
        id="a webhook",
    ),
    pytest.param("Request entity too large: limit is 3145728", "make the object smaller", id="too large"),
    pytest.param(
        'Secret "x" is invalid: metadata.name: Invalid value', "remove the cause that the API server names", id="422"
    ),
]


@of_kinds_with_a_secret
@pytest.mark.parametrize(("words", "advice"), REFUSALS)
async def test_a_rejected_secret_is_reported_once_and_tried_again_until_the_cause_is_gone(
    world, kind, status_write, words, advice
):
    world.apply()
    refuse(world, "create", "secrets", RefusedError(words))

    results = await look(world)
    said, message, generation = world.said(), world.message(), world.object().status.observed_generation
    statuses = world.writes().count(status_write)
    world.restart()
    results += await look(world, 1)
    again = world.writes()
    world.cluster.refusing.clear()
    await world.reconcile()

    assert {result.failed for result in results} == {True}
    assert said == {"Ready": ("False", "WriteRejected"), "Reconciling": ("True", "WriteRejected")}
    assert message == (
        f"the API server rejects a request of the operator for this object: {words.rstrip('.')}; {advice}. "
        "The controller tries again within a minute."
    )
    assert (generation, statuses <= 2, again) == (1, True, [("create", "secrets")])
    assert world.events.reasons() == ["WriteRejected"]
    assert world.audit.decisions()[0] == ("refuse", "rejected")
    assert world.audit.decisions().count(("refuse", "rejected")) == 1
    assert world.said() == {"Ready": ("True", "Issued")}


@of_kinds_with_a_secret
@pytest.mark.parametrize(("damage", "verb"), [(delete, "create"), (edit_the_token, "replace")])
async def test_a_rejected_heal_is_reported_and_is_no_heal(world, kind, damage, verb):
    await world.settle()
    issued, decisions, due = content(world.secret()), world.audit.decisions(), (await world.reconcile()).requeue_at
    damage(world)
    refuse(world, verb, "secrets", RefusedError("exceeded quota: none"))

    results = await look(world)
    said, audited = world.said(), world.audit.decisions()
    world.cluster.refusing.clear()
    await world.reconcile()
    await world.reconcile()

    assert said == {"Ready": ("False", "WriteRejected"), "Reconciling": ("True", "WriteRejected")}
    assert {(result.failed, result.requeue_at) for result in results} == {(True, due)}
    assert (audited, world.events.reasons()) == ([*decisions, ("refuse", "rejected")], ["WriteRejected"])
    assert (content(world.secret()), world.said()) == (issued, {"Ready": ("True", "Issued")})
    assert world.audit.decisions() == [*audited, ("heal", "ok")]


@of_all_kinds
async def test_a_rejected_status_is_reported_once_by_an_event_and_recorded_once_it_is_accepted(
    world, kind, status_write
):
    await world.settle()
    said, before = world.said(), reported(world, kind)
    refuse(world, *status_write, RefusedError('admission webhook "x.example.com" denied the request: no'))
    world.edit(description="the press in hall 3")

    results = await look(world)
    unchanged, after = world.said(), reported(world, kind)
    world.cluster.refusing.clear()
    await world.reconcile()

    assert {result.failed for result in results} == {True}
    assert (unchanged, after) == (said, (before[0] + 1, before[1] + 1))
    assert world.events.warnings[-1].reason == "WriteRejected"
    assert (world.said(), world.object().status.observed_generation) == (said, 2)
    assert reported(world, kind) == after


@of_kinds_with_a_secret
async def test_in_a_namespace_that_is_being_deleted_a_rejection_is_no_news(world, kind, status_write):
    world.apply()
    world.cluster.terminating.add(world.object().metadata.namespace)

    results = await look(world)

    assert {result.failed for result in results} == {True}
    assert (world.events.warnings, world.audit.lines) == ([], [])
    assert "WriteRejected" not in str(world.object().status)


@of_kinds_with_a_secret
async def test_an_api_server_that_fails_again_and_again_is_reported_and_one_that_restarts_is_not(world, kind):
    world.apply()
    failure = UnavailableError("the API server returned 500: the KMS plugin does not answer", is_failure=True)
    refuse(world, "create", "secrets", failure)

    for _ in range(2):
        with pytest.raises(UnavailableError):
            await world.reconcile()
    quiet = list(world.events.warnings)
    await look(world, 2)
    said = world.said()
    world.cluster.refusing.clear()
    await world.reconcile()

    assert (quiet, world.events.reasons()) == ([], ["WriteRejected"])
    assert (said["Ready"], world.said()["Ready"]) == (("False", "WriteRejected"), ("True", "Issued"))


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


# The clock.


@of_kinds_with_a_secret
async def test_nothing_is_issued_while_the_clock_is_too_far_from_the_api_servers(world, kind, status_write):
    world.server_clock.observe(NOON + timedelta(seconds=31))
    world.apply()

    result = await world.reconcile()
    await world.reconcile()
    waiting = (world.secret(), world.audit.lines.copy(), world.events.warnings.copy(), result.requeue_after)
    said, written = world.said(), world.writes()
    world.server_clock.observe(NOON + timedelta(seconds=30))
    await world.reconcile()

    assert waiting == (None, [], [], 30)
    assert said == {"Ready": ("False", "ClockUnsafe"), "Reconciling": ("True", "ClockUnsafe")}
    assert written == [status_write]
    assert world.said() == {"Ready": ("True", "Issued")}
