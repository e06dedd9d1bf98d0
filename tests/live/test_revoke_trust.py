"""What is revoked is over on every replica within a second, with the controller stopped too (R5, R94, S7, S8, S24)."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.harness.exchange import Replica
from tests.harness.objects import wait_for_state, wait_until_gone
from tests.harness.pairing_site import REVOKED_TEXT, Site, claims_of
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]

REVOKED = {"spec": {"revoked": True}}
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


@dataclass(frozen=True, slots=True)
class Pair:
    """A trust to end: both tokens and the id of the second."""

    pairing: str
    master: str
    master_id: str


Ending = Callable[[Site, Pair], object]


def _order_in_the_pairing_token(site: Site, _: Pair) -> object:
    return site.api.merge(site.pairing_token(), REVOKED).must_succeed()


def _order_in_the_master_token(site: Site, pair: Pair) -> object:
    return site.api.merge(site.master_token(pair.master_id), REVOKED).must_succeed()


def _possession_of_the_pairing_token(site: Site, pair: Pair) -> object:
    return site.exchange.revoke(pair.pairing).must_succeed()


def _possession_of_the_master_token(site: Site, pair: Pair) -> object:
    return site.exchange.revoke(pair.master).must_succeed()


def _deletion_of_the_pairing_token(site: Site, _: Pair) -> object:
    return site.api.delete(site.pairing_token()).must_succeed()


def _deletion_that_orphans(site: Site, _: Pair) -> object:
    return site.api.delete(site.pairing_token(), propagation="Orphan").must_succeed()


def _deletion_of_the_master_token(site: Site, pair: Pair) -> object:
    return site.api.delete(site.master_token(pair.master_id)).must_succeed()


ENDINGS = (
    _order_in_the_pairing_token,
    _order_in_the_master_token,
    _possession_of_the_pairing_token,
    _possession_of_the_master_token,
    _deletion_of_the_pairing_token,
    _deletion_that_orphans,
    _deletion_of_the_master_token,
)


@pytest.mark.parametrize("end", ENDINGS, ids=[end.__name__.strip("_").replace("_", " ") for end in ENDINGS])
def test_a_trust_ends_on_every_replica_within_a_second_with_the_controller_stopped(
    site: Site, system: System, second_replica: Replica, end: Ending
) -> None:
    pair, replicas = _pair(site), (site.exchange.url, second_replica.url)
    with stopped_controller(system):
        before = [site.is_active(pair.master, url=url) for url in replicas]

        end(site, pair)
        written = time.monotonic()

        last_seen = site.last_active(pair.master, replicas, until=written + WATCHED_SECONDS)
    assert before == [True, True]
    assert last_seen - written < FRESH_SECONDS
    assert [site.is_active(pair.master, url=url) for url in replicas] == [False, False]


def _pair(site: Site, **spec: Any) -> Pair:
    pairing = site.issue(**spec)
    answer = site.exchange.redeem(pairing).must_succeed()
    return Pair(pairing, answer["access_token"], answer["token_id"])


# Before it is redeemed.


def test_a_revoked_pairing_token_is_refused_before_the_controller_has_seen_it(site: Site, system: System) -> None:
    token = site.issue()
    with stopped_controller(system):
        site.api.merge(site.pairing_token(), REVOKED).must_succeed()

        answer = site.exchange.redeem(token)

    assert (answer.status, answer.description) == (400, REVOKED_TEXT.format(claims_of(token)["jti"]))
    assert site.api.find_all("MasterToken", site.namespace) == []


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


def test_what_is_redeemed_while_it_is_revoked_does_not_last(site: Site, second_replica: Replica) -> None:
    names = [f"site-{number}" for number in range(6)]
    tokens = {name: site.issue(name) for name in names}
    at = {
        name: site.exchange.at(url)
        for name, url in zip(names, (site.exchange.url, second_replica.url) * 3, strict=True)
    }

    with ThreadPoolExecutor(2 * len(names)) as threads:
        redeemed = [threads.submit(at[name].redeem, tokens[name]) for name in names]
        ordered = [threads.submit(site.api.merge, site.pairing_token(name), REVOKED) for name in names]
    written = time.monotonic()

    assert all(order.result().succeeded for order in ordered)
    masters = [answer.result().body["access_token"] for answer in redeemed if answer.result().status == 200]
    replicas = (site.exchange.url, second_replica.url)
    for master in masters:
        poll(partial(_is_over, site, master, replicas), seconds=2.0)
    assert time.monotonic() - written < 2 * FRESH_SECONDS
    assert {answer.result().description for answer in redeemed if answer.result().status != 200} <= {
        REVOKED_TEXT.format(claims_of(token)["jti"]) for token in tokens.values()
    }


def _is_over(site: Site, master: str, replicas: tuple[str, ...]) -> bool:
    return not any(site.is_active(master, url=url) for url in replicas)


# What is recorded.


def test_an_ended_trust_is_recorded_in_both_objects(site: Site) -> None:
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
    wait_until_gone(site.api, site.master_token(pair.master_id), seconds=40.0)
