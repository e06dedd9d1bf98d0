"""Callers who may introspect, the answers that they get, and what it costs to turn others away (RFC 7662, S16)."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.crypto.tokens import sign
from tallystick.pairing.domain.tokens import MASTER
from tests.harness.api import Api
from tests.harness.objects import read_token
from tests.harness.pairing_site import Site, claims_of
from tests.harness.system import System

INACTIVE = {"active": False}


def test_a_caller_with_the_right_gets_all_claims_of_the_token(site: Site) -> None:
    master = site.paired()["access_token"]

    answer = site.exchange.introspect(master, site.bearer)

    said = {name: claims_of(master)[name] for name in ("iss", "sub", "aud", "iat", "exp", "jti", "scope")}
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body == {"active": True, "token_type": "Bearer", **said}


def test_a_caller_without_a_bearer_is_asked_for_one(site: Site) -> None:
    answer = site.exchange.introspect(site.paired()["access_token"], None)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("bearer", ["garbage", "a.b.c", "x" * 8000])
def test_a_garbage_bearer_is_refused_and_costs_no_review(site: Site, bearer: str) -> None:
    before = site.exchange.api_calls("review")

    answer = site.exchange.introspect("no-token", bearer)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert site.exchange.api_calls("review") == before


def test_a_token_of_another_audience_is_refused_and_costs_no_review(site: Site) -> None:
    for_the_api_server = site.api.request_token(site.namespace, "verifier")
    for_another = site.api.request_token(site.namespace, "verifier", "https://elsewhere.example")
    before = site.exchange.api_calls("review")

    statuses = [site.exchange.introspect("no-token", one).status for one in (for_the_api_server, for_another)]

    assert statuses == [401, 401]
    assert site.exchange.api_calls("review") == before


def test_a_forged_bearer_that_names_our_audience_is_refused_by_the_api_server(site: Site) -> None:
    header, claims, signature = site.bearer.split(".")
    forged = f"{header}.{claims}.{signature[::-1]}"
    before = site.exchange.api_calls("review")

    statuses = [site.exchange.introspect("no-token", forged).status for _ in range(3)]

    assert statuses == [401] * 3
    assert site.exchange.api_calls("review") == before + 1


def test_a_master_token_is_no_bearer_at_the_exchange(site: Site) -> None:
    master = site.paired()["access_token"]

    assert site.exchange.introspect(master, master).status == 401


def test_a_pairing_token_is_no_bearer_at_the_exchange(site: Site) -> None:
    pairing = site.issue()

    assert site.exchange.introspect(pairing, pairing).status == 401


def test_a_caller_without_the_right_learns_nothing(site: Site, admin: Api) -> None:
    master = site.paired()["access_token"]
    account = {"kind": "ServiceAccount", "metadata": {"name": "stranger", "namespace": site.namespace}}
    admin.create({"apiVersion": "v1", **account}).must_succeed()
    bearer = admin.request_token(site.namespace, "stranger", site.exchange.issuer)

    answer = site.exchange.introspect(master, bearer)

    assert (answer.status, answer.body) == (200, INACTIVE)


def test_the_right_in_one_namespace_says_nothing_of_another(
    site: Site, make_namespace: Callable[[str], str], admin: Api
) -> None:
    elsewhere = make_namespace("elsewhere")
    account = {"kind": "ServiceAccount", "metadata": {"name": "verifier", "namespace": elsewhere}}
    admin.create({"apiVersion": "v1", **account}).must_succeed()
    bearer = admin.request_token(elsewhere, "verifier", site.exchange.issuer)

    assert site.exchange.introspect(site.paired()["access_token"], bearer).body == INACTIVE


def test_a_pairing_token_is_active_until_it_is_redeemed(site: Site) -> None:
    token = site.issue()

    before, _ = site.is_active(token), site.exchange.redeem(token).must_succeed()

    assert before
    # The exchange reads its own write at the end of a redemption, and shares no older reading.
    assert not site.is_active(token)


@pytest.mark.parametrize("token", ["-", "garbage", "a.b.c", "x" * 9000])
def test_what_is_no_token_is_not_active(site: Site, token: str) -> None:
    answer = site.exchange.introspect(token, site.bearer)

    assert (answer.status, answer.body) == (200, INACTIVE)


def test_a_token_that_another_key_signed_is_not_active(site: Site) -> None:
    master = site.paired()["access_token"]
    forger = SigningKey.generate("ES256")
    forged = sign(claims_of(master), profile=MASTER, key=forger)

    answer = site.exchange.introspect(forged, site.bearer)

    assert read_token(forged).claims == claims_of(master)
    assert answer.body == INACTIVE


def test_a_master_token_ends_when_its_time_is_over(site: Site, system: System) -> None:
    master = site.paired(masterToken={"ttl": "1h"})["access_token"]
    before = site.is_active(master)

    system.clock.advance(timedelta(hours=1))

    assert before
    assert not site.is_active(master)
