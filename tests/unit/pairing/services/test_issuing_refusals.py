"""When a PairingToken is not issued, and how it is once nothing is in the way: R82, S4, S12, S22."""

import pytest

from tallystick.objects.ports import UnavailableError
from tallystick.schema.builtin import SECRETS
from tests.builders import issued_status, used_status
from tests.worlds.world import NAMESPACE, SECRET

ONE_STATUS = [("replace_status", "pairingtokens")]


@pytest.mark.parametrize("labelled", [True, False])
async def test_s22_a_conflict_costs_one_status_and_the_token_stays_pending(world, labelled):
    labels = {"tallystick.dev/kind": "PairingToken"} if labelled else {}
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE, "labels": labels}})
    world.apply()

    await world.reconcile()
    await world.reconcile()

    assert world.token().status.state == "Pending"
    assert [write for write in world.writes() if write[0] != "create"] == ONE_STATUS


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(used_status(), id="Used"),
        pytest.param(issued_status(), id="Active"),
        pytest.param(issued_status(state="Expired"), id="Expired"),
    ],
)
async def test_a_conflict_at_a_raised_serial_does_not_wake_for_the_expiry_of_the_one_before(world, status):
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
    world.apply(status=status, serial=2, generation=2)
    world.clock.advance(600)

    outcome = await world.reconcile()

    assert (outcome.requeue_at, outcome.requeue_after) == (None, 10.0)


async def test_s4_nothing_is_issued_while_the_requester_is_not_protected(world):
    world.guard.protected = False
    world.apply()

    outcome = await world.reconcile()
    await world.reconcile()

    assert world.writes() == ONE_STATUS
    assert (world.token().status.state, world.ready()) == ("Pending", ("False", "RequesterPolicyMissing"))
    assert (world.secret(), outcome.requeue_after) == (None, 5.0)


async def test_s4_while_the_probe_is_not_answered_nothing_is_issued_and_nothing_written(world):
    world.cluster.fail_next("create", "pairingtokens", UnavailableError("down"))
    await world.guard.probe()
    world.apply()
    world.cluster.calls.clear()

    outcome = await world.reconcile()

    assert (world.writes(), world.secret(), outcome.requeue_after) == ([], None, 5.0)


async def test_s4_what_waited_is_issued_once_the_requester_is_protected(world):
    world.guard.protected = False
    world.apply()
    await world.reconcile()

    world.guard.protected = True
    await world.reconcile()

    assert (world.token().status.state, world.ready()) == ("Active", ("True", "Issued"))


async def test_s4_an_object_without_a_requester_is_not_issued(world):
    world.apply(requestedBy=None)

    await world.reconcile()

    assert (world.ready(), world.secret()) == (("False", "RequesterMissing"), None)


async def test_r82_an_unknown_use_case_is_reported_once_and_costs_one_write(world):
    world.apply(useCase="mission-contrl")

    await world.reconcile()
    await world.reconcile()

    assert world.writes() == ONE_STATUS
    assert (world.token().status.state, world.ready(), world.is_stalled()) == (
        "Pending",
        ("False", "UnknownUseCase"),
        True,
    )
    assert world.events.reasons() == ["UnknownUseCase"]
    assert world.audit.decisions() == [("refuse", "stalled")]


async def test_an_unknown_use_case_is_put_right_by_the_edit_that_raises_the_serial(world):
    world.apply(useCase="mission-contrl")
    await world.reconcile()

    world.edit(useCase="mission-control", serial=2)
    await world.reconcile()

    assert (world.token().status.serial, world.ready(), world.is_stalled()) == (2, ("True", "Issued"), False)


async def test_the_secret_of_the_serial_before_a_refused_one_is_removed(world):
    await world.issue()

    world.edit(useCase="mission-contrl", serial=2)
    await world.reconcile()

    assert (world.secret(), world.token().status.state) == (None, "Pending")


async def test_s12_a_foreign_url_is_not_issued(world):
    world.apply(baseURL="https://evil.example.org")

    await world.reconcile()

    assert (world.ready(), world.secret()) == (("False", "ForeignURL"), None)
