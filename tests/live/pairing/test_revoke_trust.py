"""What is revoked is over on every replica within a second, with the controller stopped too (R5, R94, S7, S8, S24)."""

import itertools
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tests.harness import endings
from tests.harness.endings import REVOKED, Ending, Trust, name_of
from tests.harness.exchange import Replica
from tests.harness.objects import secret_of, wait_for_state, wait_until_gone
from tests.harness.pairing_site import INVALID_TEXT, REVOKED_TEXT, Site, claims_of
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]

FRESH_SECONDS = 1.0
# How long after the write it is watched that nothing comes back to life.
WATCHED_SECONDS = 1.3


@contextmanager
def stopped_controller(system: System) -> Iterator[None]:
    """Freeze the controller: it holds its Lease for longer than a test takes."""
    pid = system.up.children["controller"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def site(site: Site) -> Iterator[Site]:
    yield site
    endings.let_go(site)


# What the holder of a pairing token is told that nobody has redeemed. Of an object that is gone nothing can be said.
OF_PAIRING_TOKENS: dict[Ending, tuple[str, ...]] = {
    endings.order_in_the_pairing_token: (REVOKED_TEXT,),
    endings.possession_of_the_pairing_token: (REVOKED_TEXT,),
    endings.higher_serial: (REVOKED_TEXT,),
    endings.deletion_that_a_finalizer_holds: (REVOKED_TEXT,),
    endings.deletion_that_orphans: (REVOKED_TEXT, INVALID_TEXT),
    endings.deletion_of_the_pairing_token: (INVALID_TEXT,),
    endings.creation_again: (INVALID_TEXT,),
}
ONLY_PAIRING_TOKENS = (endings.higher_serial, endings.possession_of_the_pairing_token)
OF_MASTER_TOKENS: tuple[Ending, ...] = (
    *(end for end in OF_PAIRING_TOKENS if end not in ONLY_PAIRING_TOKENS),
    endings.order_in_the_master_token,
    endings.possession_of_the_master_token,
    endings.deletion_of_the_master_token,
)
# A record that is missing in the first minute is made again for its key: a crash may have prevented it.
NOT_FOR_ITS_KEY = endings.deletion_of_the_master_token


def test_a_trust_ends_on_every_replica_within_a_second_with_the_controller_stopped(
    site: Site, system: System, second_replica: Replica
) -> None:
    replicas = (site.exchange.url, second_replica.url)
    trusts = {end: _pair(site, name_of(end)) for end in OF_MASTER_TOKENS}
    with stopped_controller(system):
        seen = _ended(site, trusts, {end: trust.master for end, trust in trusts.items()}, replicas)

    assert {name: lasted for name, lasted in seen.items() if lasted >= FRESH_SECONDS} == {}


def test_a_trust_ends_at_once_for_the_key_that_asks_again_with_the_controller_stopped(
    site: Site, system: System, second_replica: Replica
) -> None:
    """Every replica has just read it as good; the last step of a redemption reads anew."""
    replicas = (site.exchange.url, second_replica.url)
    ends = [end for end in OF_MASTER_TOKENS if end is not NOT_FOR_ITS_KEY]
    trusts = {end: _pair(site, name_of(end), key=SigningKey.generate("ES256")) for end in ends}
    reported = {}
    with stopped_controller(system):
        for end, trust in trusts.items():
            assert [site.is_active(trust.master, url=url) for url in replicas] == [True, True]
            end(site, trust)
            answers = [site.exchange.at(url).redeem(trust.pairing, key=trust.key) for url in replicas]
            reported[name_of(end)] = [(answer.status, answer.body["error"]) for answer in answers]

    assert reported == {name: [(400, "invalid_request")] * 2 for name in reported}


def test_a_token_that_no_one_has_redeemed_ends_at_once_for_who_redeems_it_with_the_controller_stopped(
    site: Site, system: System, second_replica: Replica
) -> None:
    """Every replica has just read it as good; the swap would be refused, and so it is read anew."""
    replicas = (site.exchange.url, second_replica.url)
    trusts = {end: Trust(name_of(end), site.issue(name_of(end))) for end in OF_PAIRING_TOKENS}
    reported = {}
    with stopped_controller(system):
        for end, trust in trusts.items():
            assert [site.is_active(trust.pairing, url=url) for url in replicas] == [True, True]
            end(site, trust)
            answers = [site.exchange.at(url).redeem(trust.pairing) for url in replicas]
            reported[end] = [(answer.status, answer.description) for answer in answers]

    for end, texts in OF_PAIRING_TOKENS.items():
        token_id = claims_of(trusts[end].pairing)["jti"]
        assert set(reported[end]) <= {(400, text.format(token_id)) for text in texts}, name_of(end)
    assert site.api.find_all("MasterToken", site.namespace) == []


def test_a_token_that_no_one_has_redeemed_is_inactive_within_a_second_with_the_controller_stopped(
    site: Site, system: System, second_replica: Replica
) -> None:
    replicas = (site.exchange.url, second_replica.url)
    trusts = {end: Trust(name_of(end), site.issue(name_of(end))) for end in OF_PAIRING_TOKENS}
    with stopped_controller(system):
        seen = _ended(site, trusts, {end: trust.pairing for end, trust in trusts.items()}, replicas)

    assert {name: lasted for name, lasted in seen.items() if lasted >= FRESH_SECONDS} == {}


def _pair(site: Site, name: str = "site-a", *, key: SigningKey | None = None, **spec: Any) -> Trust:
    pairing = site.issue(name, **spec)
    answer = site.exchange.redeem(pairing, key=key).must_succeed()
    return Trust(name, pairing, answer["access_token"], answer["token_id"], key)


def _ended(
    site: Site, trusts: Mapping[Ending, Trust], tokens: Mapping[Ending, str], replicas: tuple[str, ...]
) -> dict[str, float]:
    """End each trust; return how many seconds after its end a request was sent that called its token active."""
    written, lasted = {}, dict.fromkeys(map(name_of, trusts), 0.0)
    for end, trust in trusts.items():
        assert [site.is_active(tokens[end], url=url) for url in replicas] == [True, True]
        end(site, trust)
        written[end] = time.monotonic()
    while time.monotonic() < max(written.values()) + WATCHED_SECONDS:
        for end, url in itertools.product(trusts, replicas):
            sent = time.monotonic()
            if site.is_active(tokens[end], url=url):
                lasted[name_of(end)] = sent - written[end]
    return lasted


# Before it is redeemed.


def test_a_pairing_token_that_its_holder_revoked_is_refused_and_so_recorded(site: Site) -> None:
    token = site.issue()

    revoked = site.exchange.revoke(token)

    answer = site.exchange.redeem(token)
    status = wait_for_state(site.api, site.pairing_token(), "Revoked")["status"]
    assert revoked.status == 200
    assert (answer.status, answer.description) == (400, REVOKED_TEXT.format(claims_of(token)["jti"]))
    assert (status["revokedThrough"], status["serial"]) == (1, 1)
    assert site.api.get(site.pairing_token())["spec"]["revoked"] is False


def test_revoking_twice_or_what_is_no_token_is_no_error(site: Site) -> None:
    token = site.issue()

    answers = [site.exchange.revoke(unknown) for unknown in (token, token, "garbage", "a.b.c")]

    assert [(answer.status, answer.body) for answer in answers] == [(200, {})] * 4


# What is recorded.


def test_a_revoked_trust_is_recorded_in_both_objects(site: Site) -> None:
    pair = _pair(site)

    site.api.merge(site.pairing_token(), REVOKED).must_succeed()

    pairing = wait_for_state(site.api, site.pairing_token(), "Revoked")
    poll(lambda: site.api.get(site.master_token(pair.master_id))["status"]["state"] == "Revoked")
    assert pairing["status"]["revokedThrough"] == 1


def test_a_master_token_that_its_holder_revoked_says_so(site: Site) -> None:
    pair = _pair(site)

    site.exchange.revoke(pair.master).must_succeed()

    status = site.api.get(site.master_token(pair.master_id))["status"]
    assert status["state"] == "Revoked"
    assert site.state_of() == ("Used", 1)
    poll(lambda: site.events("RevokedByHolder"))


def test_n_a_used_pairing_token_alone_revokes_nothing(site: Site) -> None:
    """A leaked token that has been redeemed is no kill switch, with and without a key (S29)."""
    key = SigningKey.generate("ES256")
    trusts = {"bound": _pair(site, "bound", key=key), "bearer": _pair(site, "bearer")}
    before = {name: site.api.get(site.pairing_token(name))["status"] for name in trusts}

    answers = {name: site.exchange.revoke(trust.pairing).status for name, trust in trusts.items()}

    assert answers == {"bound": 200, "bearer": 200}
    assert {name: site.api.get(site.pairing_token(name))["status"] for name in trusts} == before
    assert [site.is_active(trust.master) for trust in trusts.values()] == [True, True]
    assert site.events("RevokedByHolder") == []


def test_n_a_key_bound_master_token_is_revoked_only_with_a_proof_of_its_key(site: Site) -> None:
    key, thief = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    pair, other = _pair(site, key=key), _pair(site, "site-b", key=key)
    url = f"{site.exchange.issuer}/oauth2/revoke"
    proofs = {
        "none": "",
        "of another key": site.exchange.proof(thief, url=url, access_token=pair.master),
        "for another endpoint": site.exchange.proof(key, access_token=pair.master),
        "for another token": site.exchange.proof(key, url=url, access_token=other.master),
        "for no token": site.exchange.proof(key, url=url),
    }

    refused = {name: site.exchange.revoke(pair.master, proof=proof) for name, proof in proofs.items()}

    assert {name: (one.status, one.body["error"]) for name, one in refused.items()} == dict.fromkeys(
        proofs, (400, "invalid_dpop_proof")
    )
    assert site.is_active(pair.master)
    site.exchange.revoke(pair.master, key=key).must_succeed()
    assert not site.is_active(pair.master)


# What does not end, and what does not come back.


def test_a_higher_serial_ends_the_old_pairing_token_alone(site: Site) -> None:
    first = _pair(site)
    site.api.merge(site.pairing_token(), {"spec": {"serial": 2}}).must_succeed()

    second = site.issued(serial=2)

    assert site.exchange.redeem(first.pairing).description == REVOKED_TEXT.format(claims_of(first.pairing)["jti"])
    assert site.is_active(first.master)
    assert site.exchange.redeem(second).status == 200
    assert site.is_active(first.master)


def test_a_revocation_ends_the_masters_of_all_serials_so_far_and_none_that_follow(site: Site) -> None:
    first = _pair(site)
    site.api.merge(site.pairing_token(), {"spec": {"serial": 2}}).must_succeed()
    second = site.exchange.redeem(site.issued(serial=2)).must_succeed()["access_token"]
    site.api.merge(site.pairing_token(), REVOKED).must_succeed()
    wait_for_state(site.api, site.pairing_token(), "Revoked")

    site.api.merge(site.pairing_token(), {"spec": {"revoked": False, "serial": 3}}).must_succeed()
    third = site.exchange.redeem(site.issued(serial=3)).must_succeed()["access_token"]

    poll(lambda: not site.is_active(second), seconds=2.0)
    assert [site.is_active(token) for token in (first.master, second, third)] == [False, False, True]


def test_an_object_of_the_same_name_does_not_revive_old_tokens(site: Site) -> None:
    old, unused = _pair(site), site.issue("site-b")
    for name in ("site-a", "site-b"):
        site.api.delete(site.pairing_token(name)).must_succeed()
        wait_until_gone(site.api, site.pairing_token(name))
        # A young garbage collector does not know our kinds yet, and would take half a minute.
        site.api.delete(secret_of(site.pairing_token(name)))

    site.issue()
    site.issue("site-b")

    poll(lambda: not site.is_active(old.master), seconds=2.0)
    assert not site.is_active(unused)
    assert site.exchange.redeem(unused).description == "subject_token is not a valid pairing token"


def test_a_master_token_that_is_to_be_retained_outlives_its_pairing_token(site: Site) -> None:
    pair = _pair(site, masterToken={"deletionPolicy": "Retain"})

    site.api.delete(site.pairing_token()).must_succeed()
    wait_until_gone(site.api, site.pairing_token())

    written = time.monotonic()
    replicas = (site.exchange.url,)
    assert site.last_active(pair.master, replicas, until=written + WATCHED_SECONDS) > written + FRESH_SECONDS
    assert site.api.get(site.master_token(pair.master_id))["metadata"].get("ownerReferences") is None


def test_a_retained_master_token_can_still_be_revoked(site: Site) -> None:
    pair = _pair(site, masterToken={"deletionPolicy": "Retain"})

    site.api.merge(site.pairing_token(), REVOKED).must_succeed()

    poll(lambda: not site.is_active(pair.master), seconds=2.0)


def test_deleting_a_pairing_token_takes_its_master_token_with_it(site: Site) -> None:
    pair = _pair(site)

    site.api.delete(site.pairing_token()).must_succeed()

    # A garbage collector learns of new kinds twice a minute.
    wait_until_gone(site.api, site.master_token(pair.master_id), seconds=120.0)


@pytest.mark.parametrize("verb", ["delete", "deletecollection"])
def test_a_retained_trust_is_not_freed_by_a_deletion_that_overtakes_its_revocation(
    site: Site, system: System, verb: str
) -> None:
    pair = _pair(site, masterToken={"deletionPolicy": "Retain"})
    body = site.pairing_token()
    with stopped_controller(system):
        site.api.merge(body, REVOKED).must_succeed()

        refused = site.api.delete(body) if verb == "delete" else site.api.delete_all("PairingToken", site.namespace)

        active = site.is_active(pair.master)
    assert refused.message.endswith(
        "the controller has not recorded the revocation yet; wait until status.state is Revoked, then delete the object"
    )
    assert not active
    wait_for_state(site.api, body, "Revoked")
    site.api.delete(body).must_succeed()
    assert not site.is_active(pair.master)


def test_a_namespace_goes_with_an_unrecorded_revocation_in_it(site: Site, system: System) -> None:
    pair = _pair(site, masterToken={"deletionPolicy": "Retain"})
    with stopped_controller(system):
        site.api.merge(site.pairing_token(), REVOKED).must_succeed()

        site.api.delete({"kind": "Namespace", "metadata": {"name": site.namespace}}).must_succeed()

        wait_until_gone(site.api, site.pairing_token())
        wait_until_gone(site.api, site.master_token(pair.master_id))
