"""How a pairing token ends: R83 (revoke), R84 (used), R85 (expiry), S7, revokedThrough; its Secret goes with it."""

import pytest

from tallystick.objects.ports import ConflictError, RefusedError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.builtin import SECRETS
from tests.builders import a_redemption, issued_status, used_status
from tests.fakes import NOON
from tests.worlds.world import NAME, NAMESPACE, SECRET

ONE_STATUS = [("replace_status", "pairingtokens")]
END = [("replace_status", "pairingtokens"), ("delete", "secrets")]


async def test_r85_expiry_costs_a_status_and_a_deletion(world):
    await world.issue()

    world.clock.advance(300)
    outcome = await world.reconcile()
    await world.reconcile()

    assert sorted(world.writes()) == sorted(END)
    assert (world.token().status.state, world.ready(), world.secret()) == ("Expired", ("Ended", "Expired"), None)
    assert world.events.reasons() == ["Expired"]
    assert outcome.requeue_at is None


async def test_r85_a_second_before_exp_nothing_happens(world):
    await world.issue()

    world.clock.advance(299)
    outcome = await world.reconcile()

    assert world.writes() == []
    assert outcome.requeue_at == world.token().status.expiration_time


async def test_a_redemption_that_was_faster_than_the_expiry_wins(world):
    await world.issue()
    world.clock.advance(300)
    world.cluster.before_next(
        "replace_status",
        "pairingtokens",
        lambda: world.cluster.edit(
            PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["status"].update(state="Used", redemption=a_redemption())
        ),
    )

    with pytest.raises(ConflictError):
        await world.reconcile()
    await world.reconcile()

    assert world.token().status.state == "Used"
    assert world.secret() is None


async def test_r84_the_secret_of_a_used_token_goes(world):
    await world.issue()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=used_status()))

    await world.reconcile()

    assert world.secret() is None
    assert world.writes()[0] == ("delete", "secrets")


async def test_s22_a_secret_that_another_user_took_over_meanwhile_is_not_deleted(world):
    await world.issue()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=used_status()))
    world.watch()
    world.cluster.remove(SECRETS, NAMESPACE, SECRET)
    foreign = world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})

    with pytest.raises(ConflictError):
        await world.reconcile(watched=False)
    await world.reconcile()

    assert world.secret() == foreign


async def test_s22_a_secret_that_changed_hands_meanwhile_is_not_deleted(world):
    await world.issue()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=used_status()))
    world.watch()
    world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body["metadata"].update(ownerReferences=[]))

    with pytest.raises(ConflictError):
        await world.reconcile(watched=False)
    await world.reconcile()

    assert world.secret() is not None


async def expire(world):
    world.clock.advance(300)


async def use(world):
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=used_status()))


async def revoke(world):
    world.edit(revoked=True)


ENDS = pytest.mark.parametrize(("end", "state"), [(expire, "Expired"), (use, "Used"), (revoke, "Revoked")])


@ENDS
async def test_s22_a_secret_with_data_of_others_stays_at_the_end_until_the_data_is_gone(world, end, state):
    await world.issue()
    await end(world)
    edited = world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body["data"].update(notes="bWluZQ=="))

    outcome = await world.reconcile()
    untouched, said, message = world.secret() == edited, world.said(), world.message()
    await world.reconcile()
    warnings = world.events.reasons().count("SecretConflict")
    world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body["data"].pop("notes"))
    await world.reconcile()

    assert (untouched, said["Stalled"], outcome.requeue_after) == (True, ("True", "SecretConflict"), 10.0)
    assert message == (
        "Secret edge/press-1-pairing-token already belongs to PairingToken edge/press-1, but it also holds data that "
        "the operator does not write: notes. Remove that data, or delete the Secret."
    )
    assert (world.token().status.state, world.secret(), warnings) == (state, None, 1)
    assert world.ready()[1] != "SecretConflict"


@ENDS
@pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "plain"])
async def test_s22_an_opaque_secret_with_a_forged_owner_survives_the_end(world, end, state, labelled):
    await world.issue()

    def forge(body):
        body.update(type="Opaque", data={"notes": "bWluZQ=="})
        if not labelled:
            body["metadata"]["labels"].clear()

    forged = world.cluster.edit(SECRETS, NAMESPACE, SECRET, forge)
    await world.reconcile()
    await end(world)

    await world.reconcile()
    world.restart()
    await world.reconcile()

    assert (world.secret(), world.token().status.state) == (forged, state)
    assert not {("delete", "secrets"), ("replace", "secrets")} & set(world.writes())


@ENDS
async def test_a_secret_that_a_finalizer_of_others_holds_is_deleted_once(world, end, state):
    await world.issue()
    world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body["metadata"].update(finalizers=["example.com/x"]))
    await end(world)

    for _ in range(3):
        await world.reconcile()

    assert world.writes().count(("delete", "secrets")) == 1
    assert world.secret()["metadata"]["finalizers"] == ["example.com/x"]
    assert world.token().status.state == state


@pytest.mark.parametrize(
    ("status", "writes"),
    [
        pytest.param(None, ONE_STATUS, id="before it was issued"),
        pytest.param(used_status(), ONE_STATUS, id="after Used"),
        pytest.param(issued_status(state="Expired"), ONE_STATUS, id="after Expired"),
    ],
)
async def test_s7_spec_revoked_is_recorded(world, status, writes):
    world.apply(status=status, revoked=True)

    await world.reconcile()
    await world.reconcile()

    recorded = world.token().status
    assert world.writes() == writes
    assert (recorded.state, recorded.serial, recorded.revoked_through, recorded.revoked_time) == ("Revoked", 1, 1, NOON)
    assert (world.ready(), world.secret()) == (("Ended", "Revoked"), None)
    assert world.events.reasons() == ["Revoked"]
    assert world.audit.decisions() == [("revoke", "ok")]


async def test_s7_revoking_an_active_token_costs_a_status_and_a_deletion(world):
    await world.issue()

    world.edit(revoked=True)
    await world.reconcile()
    await world.reconcile()

    assert world.writes() == END
    assert (world.token().status.state, world.secret()) == ("Revoked", None)


async def test_the_redemption_of_a_used_token_stays_on_record_when_it_is_revoked(world):
    world.apply(status=used_status(), revoked=True)
    redemption = world.token().status.redemption

    await world.reconcile()

    assert world.token().status.redemption == redemption


async def test_a_serial_that_is_revoked_before_its_issue_does_not_inherit_the_facts_of_the_one_before(world):
    world.apply(status=used_status(), serial=2, revoked=True, generation=2)

    await world.reconcile()

    recorded = world.token().status
    assert (recorded.state, recorded.serial, recorded.revoked_through) == ("Revoked", 2, 2)
    assert (recorded.redemption, recorded.token_id, recorded.expiration_time) == (None, None, None)


async def test_a_revocation_does_not_lower_what_is_revoked_through(world):
    world.apply(status=issued_status(serial=3, revokedThrough=2), serial=3, revoked=True, generation=3)

    await world.reconcile()

    assert world.token().status.revoked_through == 3


async def test_a_revocation_by_the_holder_is_not_recorded_twice(world):
    world.apply(status=issued_status(state="Revoked", revokedThrough=1), revoked=True)

    await world.reconcile()
    await world.reconcile()

    assert world.writes() == ONE_STATUS  # the generation and the words alone
    assert world.audit.decisions() == []


@pytest.mark.parametrize("state", ["Used", "Expired", "Revoked"])
async def test_d11_a_used_token_stays_used_whatever_restarts(world, state):
    world.apply(status=issued_status(state=state))
    await world.reconcile()

    world.clock.advance(3600)
    world.restart()
    await world.reconcile()

    assert world.token().status.state == state
    assert world.secret() is None


async def test_without_the_signing_keys_revocation_goes_on(world):
    await world.issue()
    world.keys.held = None

    world.edit(revoked=True)
    await world.reconcile()

    assert (world.token().status.state, world.secret()) == ("Revoked", None)


async def test_without_the_signing_keys_expiry_goes_on(world):
    await world.issue()
    world.keys.held = None

    world.clock.advance(300)
    await world.reconcile()

    assert world.token().status.state == "Expired"


async def test_s8_retained_master_tokens_are_revoked_in_their_own_records_before_the_revocation_is_on_record(world):
    jwt = await world.issue(masterToken={"deletionPolicy": "Retain"})
    await world.replica().redeem(jwt)
    world.edit(revoked=True)
    world.cluster.calls.clear()

    await world.reconcile()

    statuses = [kind for verb, kind in world.writes() if verb == "replace_status"]
    assert statuses == ["mastertokens", "pairingtokens"]
    assert [master.status.state for master in world.masters()] == ["Revoked"]


async def test_s8_a_retained_master_token_that_no_watch_has_seen_yet_is_revoked_too(world):
    jwt = await world.issue(masterToken={"deletionPolicy": "Retain"})
    await world.replica().redeem(jwt)
    world.edit(revoked=True)
    world.watch()
    (master,) = world.masters()
    world.cache.forget(MASTER_TOKENS, NAMESPACE, master.metadata.name, master.metadata.uid)

    await world.reconcile(watched=False)

    assert world.token().status.state == "Revoked"
    assert [master.status.state for master in world.masters()] == ["Revoked"]


@pytest.mark.parametrize("rejected", ["pairingtokens", "mastertokens"])
async def test_a_revocation_whose_record_is_rejected_says_so_and_is_made_later(world, rejected):
    await world.replica().redeem(await world.issue(masterToken={"deletionPolicy": "Retain"}))
    world.cluster.refusing["replace_status", rejected] = RefusedError("denied request: no")
    world.edit(revoked=True)

    results = [await world.reconcile() for _ in range(3)]
    state, reasons, audited = world.token().status.state, world.events.reasons(), world.audit.decisions()
    world.cluster.refusing.clear()
    await world.reconcile()

    assert {result.failed for result in results} == {True}
    assert (state, reasons, ("revoke", "ok") in audited) == ("Used", ["WriteRejected"], False)
    assert (world.token().status.state, world.masters()[0].status.state) == ("Revoked", "Revoked")
    assert world.ready() == ("Ended", "Revoked")


async def test_a_secret_that_cannot_be_deleted_is_reported_until_it_is_gone(world):
    await world.replica().redeem(await world.issue())
    world.cluster.refusing["delete", "secrets"] = RefusedError(
        'admission webhook "x.example.com" denied the request: no'
    )

    for _ in range(3):
        await world.reconcile()
    said, reasons = world.ready(), world.events.reasons()
    world.cluster.refusing.clear()
    await world.reconcile()

    assert (said, reasons) == (("False", "WriteRejected"), ["WriteRejected"])
    assert (world.secret(), world.token().status.state, world.ready()) == (None, "Used", ("True", "Paired"))
