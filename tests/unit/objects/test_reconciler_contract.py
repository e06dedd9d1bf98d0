"""What every reconciler keeps to, tried with each kind of `registry.KINDS`; a new kind costs a world, not these tests.

A status is written once for each change, and a stall is reported once. What becomes of Secrets, of others and of ours,
is in test_reconciler_contract_secrets.py.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.objects.ports import RefusedError, UnavailableError
from tallystick.registry import KINDS
from tests.fakes import NOON
from tests.worlds.contracts import ContractWorld, content, of_all_kinds, of_kinds_with_a_secret, world_of
from tests.worlds.damages import delete, edit_the_token


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


def test_a_kind_without_a_world_fails_with_what_to_write():
    class Unknown(KINDS[0].model):
        RESOURCE = KINDS[0].resource._replace(plural="widgets", kind="Widget")

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
