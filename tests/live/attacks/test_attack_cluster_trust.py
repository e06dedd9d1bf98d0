"""Editors hold, orphan, make again and re-issue what is over: a trust that has ended stays so (S7, S8, S22, S24).

None of this is refused to an editor. What counts is that the exchange takes no token of it any more.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.harness.api import Answer, Api
from tests.harness.attackers import Cast, cannot, make_cast, said, wait_until_inactive
from tests.harness.objects import (
    secret_of,
    value_of,
    wait_for_reason,
    wait_for_state,
    wait_until_gone,
)
from tests.harness.pairing_site import INVALID_TEXT, REVOKED_TEXT, Site, claims_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System

Json = dict[str, Any]

HELD = {"metadata": {"finalizers": ["example.com/held"]}}
LET_GO = {"metadata": {"finalizers": None}}
REVOKED = {"spec": {"revoked": True}}
REISSUED = {"spec": {"revoked": False, "serial": 2}}
BEING_REVOKED = (
    "the controller has not recorded the revocation yet; wait until status.state is Revoked, then raise spec.serial"
)
NEVER_ISSUED = (
    "spec: Invalid value: no token is issued while spec.revoked is true; set it to false in the edit that raises "
    "spec.serial"
)
# Before the revocation is recorded, and after it.
TOO_LATE = (f"[<nil>: Invalid value: {BEING_REVOKED}, {NEVER_ISSUED}]", NEVER_ISSUED)


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


def issued(cast: Cast, name: str, **spec: Any) -> str:
    cast.ann.create(cast.site.pairing_token(name, **spec)).must_succeed()
    return cast.site.issued(name)


def paired(cast: Cast, name: str, **spec: Any) -> tuple[str, Json]:
    """Pair as ann; give the master token and its object."""
    site = cast.site
    answer = site.exchange.redeem(issued(cast, name, **spec)).must_succeed()
    return answer["access_token"], site.api.get(site.master_token(answer["token_id"]))


# Held by a finalizer.


def test_a_pairing_token_that_is_held_while_it_goes_is_over_at_once_and_for_good(cast: Cast) -> None:
    site, master = cast.site, paired(cast, "held")[0]
    body, unused = site.pairing_token("held"), issued(cast, "held-unused")
    for name in ("held", "held-unused"):
        cast.ann.merge(site.pairing_token(name), HELD).must_succeed()
        cast.ann.delete(site.pairing_token(name)).must_succeed()

    wait_until_inactive(site, master, unused)
    refused = site.exchange.redeem(unused)

    # It still is an object, which an editor may edit: a new serial of it is never issued.
    cast.bob.merge(body, {"spec": {"serial": 2}}).must_succeed()
    held_on = cast.bob.merge(body, {"metadata": {"finalizers": ["example.com/held", "example.com/longer"]}})
    issued(cast, "after-held")
    assert refused.description == REVOKED_TEXT.format(claims_of(unused)["jti"])
    assert said(held_on) == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new "
        'finalizers []string{"example.com/longer"}'
    )
    assert site.api.find(secret_of(body)) is None
    poll(lambda: site.state_of("held") == ("Revoked", 2))
    assert not site.is_active(master)
    for name in ("held", "held-unused"):
        cast.ann.merge(site.pairing_token(name), LET_GO).must_succeed()
        wait_until_gone(site.api, site.pairing_token(name))
    assert not any(site.is_active(token) for token in (master, unused))


def test_a_master_token_that_is_held_while_it_goes_is_over_at_once(cast: Cast) -> None:
    site, (master, record) = cast.site, paired(cast, "held-master")
    cast.ann.merge(record, HELD).must_succeed()

    cast.bob.delete(record).must_succeed()

    wait_until_inactive(site, master)
    cast.ann.merge(record, LET_GO).must_succeed()
    wait_until_gone(site.api, record)
    assert not site.is_active(master)


def test_a_retained_trust_that_is_revoked_while_its_pairing_token_is_held_stays_revoked(cast: Cast) -> None:
    site = cast.site
    master, record = paired(cast, "held-retained", masterToken={"deletionPolicy": "Retain"})
    body = site.pairing_token("held-retained")
    cast.ann.merge(body, HELD).must_succeed()
    cast.ann.delete(body).must_succeed()
    before = site.is_active(master)

    cast.bob.merge(body, REVOKED).must_succeed()

    wait_for_state(site.api, record, "Revoked")
    cast.ann.merge(body, LET_GO).must_succeed()
    wait_until_gone(site.api, body)
    wait_until_inactive(site, master)
    assert before


# Orphaned, and made again.


def test_a_trust_that_was_cut_loose_from_its_owner_ends_with_it(cast: Cast) -> None:
    site, (master, record) = cast.site, paired(cast, "cut-loose")
    cast.ann.merge(record, {"metadata": {"ownerReferences": None}}).must_succeed()

    cast.ann.delete(site.pairing_token("cut-loose"), propagation="Orphan").must_succeed()

    wait_until_inactive(site, master)
    wait_for_state(site.api, record, "Revoked")


def test_an_object_that_is_made_again_with_all_that_the_old_one_said_revives_nothing(cast: Cast) -> None:
    site, (master, record) = cast.site, paired(cast, "again")
    old = site.api.get(site.pairing_token("again"))
    cast.ann.delete(old).must_succeed()
    wait_until_gone(site.api, old)

    again = cast.ann.create(made_again(old)).must_succeed()

    wait_until_inactive(site, master)
    assert again["metadata"]["uid"] != old["metadata"]["uid"]
    assert wait_for_state(site.api, again, "Active")["status"]["tokenID"] != old["status"]["tokenID"]
    assert site.api.find(record) is None or wait_for_state(site.api, record, "Revoked")


def made_again(old: Json) -> Json:
    """The object with the uid, the status and all else that the old one had, as somebody would restore it."""
    return old | {"metadata": {key: old["metadata"][key] for key in ("name", "namespace", "uid")}}


def test_a_secret_that_was_kept_from_the_old_object_is_worth_nothing_to_the_new_one(cast: Cast) -> None:
    site, token = cast.site, issued(cast, "kept")
    old = site.api.get(site.pairing_token("kept"))
    secret = secret_of(old)
    cast.ann.merge(secret, {"metadata": {"ownerReferences": None}}).must_succeed()
    cast.ann.delete(old).must_succeed()
    wait_until_gone(site.api, old)

    again = cast.ann.create(made_again(old)).must_succeed()
    wait_for_reason(site.api, again, "SecretConflict")

    assert value_of(site.api.get(secret), "token") == token
    assert site.exchange.redeem(token).description == INVALID_TEXT
    # Given the true owner by forgery, it counts as ours, so it is written over: what it held is never adopted.
    cast.bob.merge(secret, {"metadata": {"ownerReferences": [owned_by(again)]}}).must_succeed()
    status = wait_for_state(site.api, again, "Active")["status"]
    fresh = value_of(site.api.get(secret), "token")
    assert claims_of(fresh)["jti"] == status["tokenID"] != old["status"]["tokenID"]


def owned_by(owner: Json) -> Json:
    names = {key: owner["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True, **names}


def test_a_retained_trust_that_was_revoked_stays_revoked_without_its_pairing_token(cast: Cast) -> None:
    site = cast.site
    master, record = paired(cast, "retained", masterToken={"deletionPolicy": "Retain"})
    cast.ann.merge(site.pairing_token("retained"), REVOKED).must_succeed()
    wait_for_state(site.api, site.pairing_token("retained"), "Revoked")

    cast.bob.delete(site.pairing_token("retained")).must_succeed()
    wait_until_gone(site.api, site.pairing_token("retained"))
    issued(cast, "retained")

    assert wait_for_state(site.api, record, "Revoked")["spec"]["revoked"] is False
    assert not site.is_active(master)


# Revoked and issued again, faster than anybody can look.


@pytest.mark.proof(gate=4, soak=100)
def test_a_revocation_is_not_overtaken_by_a_new_serial(cast: Cast, rounds: int, figure: Figure) -> None:
    refused = []
    for number in range(rounds):
        name = f"overtaken-{number}"
        master, _ = paired(cast, name)

        cast.bob.merge(cast.site.pairing_token(name), REVOKED).must_succeed()
        answer = cast.ann.merge(cast.site.pairing_token(name), REISSUED)

        refused.append(not answer.succeeded)
        assert said(answer) in ("", BEING_REVOKED)
        check_that_the_first_is_over(cast.site, name, master, issued_again=answer.succeeded)
    figure(f"{rounds} rounds, {sum(refused)} refused, {rounds - sum(refused)} issued after the record of it")


@pytest.mark.proof(gate=4, soak=100)
def test_of_two_editors_who_revoke_and_reissue_at_once_the_revocation_is_kept(
    cast: Cast, rounds: int, figure: Figure
) -> None:
    outcomes: list[str] = []
    for number in range(rounds):
        name = f"contested-{number}"
        master, _ = paired(cast, name)
        body, start = cast.site.pairing_token(name), Barrier(2)

        def write(api: Api, patch: Json, body: Json = body, start: Barrier = start) -> Answer:
            start.wait()
            return api.merge(body, patch)

        with ThreadPoolExecutor(2) as threads:
            revoked = threads.submit(write, cast.bob, REVOKED)
            reissued = threads.submit(write, cast.ann, {"spec": {"serial": 2}})

        assert revoked.result().succeeded, revoked.result().message
        outcomes.append(said(reissued.result()))
        assert outcomes[-1] in ("", *TOO_LATE)
        wait_until_inactive(cast.site, master)
        wait_for_state(cast.site.api, body, "Revoked")
    figure(f"{rounds} rounds, {outcomes.count('')} issued first and revoked as a whole, the others refused")


def check_that_the_first_is_over(site: Site, name: str, master: str, *, issued_again: bool) -> None:
    wait_until_inactive(site, master)
    if issued_again:
        second = redeemed(site, site.issued(name, serial=2))
        assert (site.is_active(second), site.is_active(master)) == (True, False)
    else:
        wait_for_state(site.api, site.pairing_token(name), "Revoked")
    assert site.api.get(site.pairing_token(name))["status"]["revokedThrough"] == 1


def redeemed(site: Site, token: str) -> str:
    """Redeem, asking again where the exchange says so: its reading may be a second old, from before the record."""

    def asked() -> str:
        answer = site.exchange.redeem(token)
        return "" if answer.status == 503 else str(answer.must_succeed()["access_token"])

    return poll(asked, seconds=3.0)


# All at once.


def test_only_a_user_who_may_delete_a_collection_revokes_all_trusts_at_once(cast: Cast, admin: Api) -> None:
    there = cast.elsewhere
    masters = [there.paired(f"one-of-many-{number}")["access_token"] for number in range(3)]
    heard = said(cast.ann.delete_all("PairingToken", cast.site.namespace))

    cast.tenant.delete_all("PairingToken", there.namespace).must_succeed()

    wait_until_inactive(there, *masters)
    assert heard == cannot("ann", "deletecollection", "pairingtokens", cast.site.namespace)
    assert admin.find_all("PairingToken", there.namespace) == []
