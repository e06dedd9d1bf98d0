"""A connection token is good at its own object and in its own deployment type, and nowhere else (R14, R38-R41, S15)."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tests.harness.api import Api
from tests.harness.connections import (
    a_connection,
    active_slots,
    connected,
    set_slots,
    slots,
    token_in,
    tokens_of,
    wait_for_active,
)
from tests.harness.exchange import HttpAnswer, Replica, another_client
from tests.harness.forged_tokens import Forge, as_is, by, changed, keyring_of
from tests.harness.objects import read_token, wait_until_gone
from tests.harness.pairing_site import Site, claims_of, make_site
from tests.harness.processes import poll
from tests.harness.system import System
from tests.live.pairing.test_revoke_trust import FRESH_SECONDS, WATCHED_SECONDS, stopped_controller

Json = dict[str, Any]

TYPES = ("Kubernetes", "ReverseProxy")
INACTIVE = {"active": False}
ACCEPTED = {"introspect": True, "heartbeat": True}
NOT_HERE = "the bearer token belongs to a ConnectionConfiguration other than the one in the path"
NOT_A_CONNECTION_TOKEN = "the bearer token is not a valid connection token"
NOT_EXCHANGED = "subject_token is a connection token, which cannot be exchanged; send it in heartbeats instead"
NOT_A_PAIRING_TOKEN = "subject_token is not a valid pairing token"
MISMATCH = "token {} was issued for deployment type {} and cannot be used in {}"
REVOKED = "token {} has been revoked"


@dataclass(frozen=True, slots=True)
class Connection:
    """A ConnectionConfiguration with its token, and who may introspect in its namespace."""

    site: Site
    body: Json
    token: str = field(repr=False)

    @property
    def kind(self) -> str:
        return str(self.body["spec"]["deploymentType"])

    @property
    def path(self) -> str:
        return f"{self.body['metadata']['namespace']}/{self.body['metadata']['name']}"

    @property
    def token_id(self) -> str:
        return str(claims_of(self.token)["jti"])


def made(site: Site, name: str = "dc-west", **spec: Any) -> Connection:
    """Create it, and wait for its tokens."""
    body = connected(site.api, a_connection(site.namespace, name, **spec))
    return Connection(site, body, token_in(site.api, body))


def other_of(kind: str) -> str:
    (other,) = set(TYPES) - {kind}
    return other


@pytest.fixture
def four(site: Site, admin: Api, make_namespace: Callable[[str], str]) -> list[Connection]:
    """Two of each type: one in each of two namespaces, under names that repeat."""
    neighbour = make_site(admin, make_namespace("site"), site.exchange)
    places = [(own, name, kind) for own in (site, neighbour) for name, kind in zip(("a", "b"), TYPES, strict=True)]
    for own, name, kind in places:
        own.api.create(a_connection(own.namespace, name, deploymentType=kind)).must_succeed()
    bodies = [wait_for_active(own.api, a_connection(own.namespace, name), ["default"]) for own, name, _ in places]
    return [Connection(own, body, token_in(own.api, body)) for (own, _, _), body in zip(places, bodies, strict=True)]


def test_only_the_diagonal_of_all_tokens_paths_and_types_is_accepted(four: list[Connection]) -> None:
    """S15: 4 tokens at 4 paths in 2 types; introspected by 2 verifiers; and nowhere exchanged."""
    exchange = four[0].site.exchange
    for shown, at, used_in in itertools.product(four, four, TYPES):
        answer = exchange.heartbeat(shown.token, at.path, deployment_type=used_in)
        reported = (answer.status, answer.description)
        if shown is not at:
            assert reported == (404, NOT_HERE)
            assert answer.body["type"] == "urn:problem:not-found"
        elif used_in != shown.kind:
            assert reported == (403, MISMATCH.format(shown.token_id, shown.kind, used_in))
        else:
            assert (reported, answer.headers["Retry-After"]) == ((204, ""), "15")

    for shown, asked_by, used_in in itertools.product(four, (four[0].site, four[2].site), TYPES):
        said = exchange.introspect(shown.token, asked_by.bearer, deployment_type=used_in).must_succeed()
        if shown.site is asked_by and used_in == shown.kind:
            assert (said["active"], said["deployment_type"], said["connection"]) == (True, shown.kind, shown.path)
            assert said["jti"] == shown.token_id
        else:
            assert said == INACTIVE

    for shown, used_in in itertools.product(four, TYPES):
        refused = exchange.redeem(shown.token, deployment_type=used_in)
        wrong = ("invalid_target", MISMATCH.format(shown.token_id, shown.kind, used_in))
        expected = ("invalid_request", NOT_EXCHANGED) if used_in == shown.kind else wrong
        assert (refused.status, refused.body["error"], refused.description) == (400, *expected)

    assert_that_misuse_is_reported_once_a_minute_at_the_right_objects(four)
    assert [each.site.api.find_all("MasterToken", each.site.namespace) for each in four] == [[]] * 4


def assert_that_misuse_is_reported_once_a_minute_at_the_right_objects(four: list[Connection]) -> None:
    """Each was misused at three endpoints, more than once a second; the shared system may have begun another minute."""
    for each in four:
        uid = each.body["metadata"]["uid"]

        def about(each: Connection = each, uid: str = uid) -> list[Json]:
            found = each.site.events("DeploymentTypeMismatch")
            return [event for event in found if event["involvedObject"]["uid"] == uid]

        events = poll(about)
        assert {event["message"] for event in events} == {
            MISMATCH.format(each.token_id, each.kind, other_of(each.kind))
        }
        assert len(events) == 1
        assert events[0]["involvedObject"]["name"] == each.body["metadata"]["name"]
        assert (events[0]["type"], events[0]["involvedObject"]["kind"]) == ("Warning", "ConnectionConfiguration")


def test_s10_a_holder_cannot_end_a_token_that_others_share(site: Site) -> None:
    connection = made(site)
    before = site.api.get(connection.body)

    refused = site.exchange.revoke(connection.token)

    assert (refused.status, refused.body["error"]) == (400, "unsupported_token_type")
    assert site.exchange.heartbeat(connection.token, connection.path).status == 204
    assert site.api.get(connection.body)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_who_introspects_must_say_what_the_token_is_used_in(site: Site) -> None:
    connection = made(site)

    answer = site.exchange.introspect(connection.token, site.bearer)

    text = "deployment_type is missing; a connection token is valid for one deployment type only"
    assert (answer.status, answer.body["error"], answer.description) == (400, "invalid_request", text)


# What ends it.


@dataclass(frozen=True, slots=True)
class Uses:
    """Where a token of type Kubernetes can be shown at one replica: how each says yes."""

    site: Site
    token: str = field(repr=False)
    path: str

    def accepted(self, url: str) -> dict[str, bool]:
        exchange = self.site.exchange.at(url)
        said = exchange.introspect(self.token, self.site.bearer, deployment_type="Kubernetes").must_succeed()
        beat = exchange.heartbeat(self.token, self.path)
        assert beat.status in (204, 401), beat
        return {"introspect": bool(said["active"]), "heartbeat": beat.status == 204}

    def accepted_until(self, urls: tuple[str, ...], written: float) -> float:
        """How many seconds after a write a request was sent that was still accepted; 0 if none was."""
        lasted = 0.0
        while time.monotonic() < written + WATCHED_SECONDS:
            for url in urls:
                sent = time.monotonic()
                if any(self.accepted(url).values()):
                    lasted = max(lasted, sent - written)
        return lasted


def test_s7_a_slot_that_leaves_the_spec_ends_its_token_on_every_replica_with_the_controller_stopped(
    site: Site, system: System, second_replica: Replica
) -> None:
    urls = (site.exchange.url, second_replica.url)
    both = made(site, tokens=slots("old", "new"))
    old, new = (Uses(site, token_in(site.api, both.body, slot), both.path) for slot in ("old", "new"))
    assert [old.accepted(url) for url in urls] == [ACCEPTED] * 2
    with stopped_controller(system):
        set_slots(site.api, both.body, "new").must_succeed()

        lasted = old.accepted_until(urls, time.monotonic())

        reported = site.exchange.heartbeat(old.token, both.path)
        kept = [new.accepted(url) for url in urls]
        status = site.api.get(both.body)["status"]

    assert lasted < FRESH_SECONDS
    assert (reported.status, reported.description) == (401, REVOKED.format(claims_of(old.token)["jti"]))
    assert kept == [ACCEPTED] * 2
    assert status["activeTokens"] == 2, "the controller was not stopped, so that this has proved nothing"
    wait_for_active(site.api, both.body, ["new"])
    assert not any(old.accepted(urls[0]).values())


def test_s9_a_slot_comes_back_when_the_status_says_what_the_refusal_asks_for_and_with_another_token(
    site: Site, system: System
) -> None:
    both = made(site, tokens=slots("old", "new"))
    old = Uses(site, token_in(site.api, both.body, "old"), both.path)
    with stopped_controller(system):
        set_slots(site.api, both.body, "new").must_succeed()
        refused = set_slots(site.api, both.body, "new", "old")
        meanwhile = site.api.get(both.body)
    poll(lambda: not tokens_of_slot(site.api.get(both.body), "old", "Pending", "Active"))

    again = set_slots(site.api, both.body, "new", "old")

    assert active_slots(meanwhile) == {"old", "new"}, "the controller was not stopped, so that this has proved nothing"
    assert meanwhile["spec"]["tokens"] == slots("new")
    assert refused.message.endswith(
        "use another slot name, or wait until status.tokens lists no Pending or Active token of this slot"
    )
    assert again.succeeded, again.message
    wait_for_active(site.api, both.body, ["old", "new"])
    fresh = Uses(site, token_in(site.api, both.body, "old"), both.path)
    assert claims_of(fresh.token)["jti"] != claims_of(old.token)["jti"]
    assert fresh.accepted(site.exchange.url) == ACCEPTED
    assert not any(old.accepted(site.exchange.url).values())


def tokens_of_slot(body: Json, slot: str, *states: str) -> list[Json]:
    return [token for token in tokens_of(body, *states) if token["slot"] == slot]


def test_r36_s24_the_token_of_a_deleted_object_ends_and_one_of_the_same_name_does_not_revive_it(
    site: Site, system: System, second_replica: Replica
) -> None:
    urls = (site.exchange.url, second_replica.url)
    connection = made(site)
    old = Uses(site, connection.token, connection.path)
    assert [old.accepted(url) for url in urls] == [ACCEPTED] * 2
    with stopped_controller(system):
        site.api.delete(connection.body).must_succeed()
        lasted = old.accepted_until(urls, time.monotonic())
        wait_until_gone(site.api, connection.body, seconds=1.0)
    forget_its_secret(site, connection)

    again = made(site)

    assert lasted < FRESH_SECONDS
    assert again.path == connection.path
    assert claims_of(again.token)["jti"] != connection.token_id
    for url in urls:
        assert Uses(site, again.token, again.path).accepted(url) == ACCEPTED
        assert old.accepted(url) == {"introspect": False, "heartbeat": False}
    assert site.exchange.heartbeat(old.token, again.path).description == "the token is not valid"


def forget_its_secret(site: Site, connection: Connection) -> None:
    """A young garbage collector does not know our kinds yet, and would take half a minute."""
    name = f"{connection.body['metadata']['name']}-connection-token"
    site.api.delete({"kind": "Secret", "metadata": {"name": name, "namespace": site.namespace}})


# What is forged.


FORGERIES: dict[str, Callable[[Forge], str]] = {
    "by another key": lambda f: f.with_claims(by(f.stranger)),
    "by another key under its own id": lambda f: f.with_header(by(f.stranger), kid=f.stranger.key_id),
    "alg none": lambda f: f.with_header(as_is(b""), alg="none"),
    "alg none without a signature": lambda f: f.with_header(as_is(b""), alg="none").rpartition(".")[0] + ".",
    "a signature that is cut off": lambda f: f.with_signature(f.signature[:-1]),
    "another type, by nobody": lambda f: f.with_claims(as_is(f.signature), deployment_type="ReverseProxy"),
    "typ of a pairing token": lambda f: f.with_header(typ="pairing+jwt"),
    "typ of a master token": lambda f: f.with_header(typ="at+jwt"),
    "typ JWT": lambda f: f.with_header(typ="JWT"),
    # Signed with the good key, which only an administrator has: what is refused here is what is said.
    "another serial": lambda f: f.about(serial=2),
    "a serial that was never minted": lambda f: f.about(serial=999),
    "another uid": lambda f: f.about(uid="11111111-98a0-4f0e-8f5b-3c9d1d6a7a10"),
    "another jti": lambda f: f.with_claims(jti="11111111-98a0-4f0e-8f5b-3c9d1d6a7a10"),
    "another object": lambda f: f.about(name="nowhere"),
    "another kind": lambda f: f.about(kind="PairingToken"),
    "a list of types": lambda f: f.with_claims(deployment_type=["Kubernetes", "ReverseProxy"]),
    "an end": lambda f: f.with_claims(exp=f.now + 3600),
    "another issuer": lambda f: f.with_claims(iss="https://evil.example"),
    "another audience": lambda f: f.with_claims(aud="https://evil.example"),
}


def test_forged_connection_tokens_are_refused_at_every_endpoint(site: Site, system: System, admin: Api) -> None:
    connection, neighbour = made(site), made(site, "dc-east")
    key = keyring_of(admin).by_id(read_token(connection.token).header["kid"])
    assert isinstance(key, SigningKey)
    forge = Forge(connection.token, key, SigningKey.generate("ES256"), int(system.clock.now().timestamp()))
    borrowed = changed(claims_of(neighbour.token)["tallystick"], {"name": "dc-west"})
    forged = {
        **{name: forgery(forge) for name, forgery in FORGERIES.items()},
        "id, uid and serial of a neighbour": forge.with_claims(jti=neighbour.token_id, tallystick=borrowed),
        "the name of a neighbour": forge.about(name="dc-east"),
    }

    accepted = {
        name: answers
        for name, token in forged.items()
        if not all(map(is_refusal, answers := everywhere(system, site, token, connection.path)))
    }

    assert accepted == {}
    assert site.api.find_all("MasterToken", site.namespace) == []
    assert site.events("DeploymentTypeMismatch") == []
    assert Uses(site, connection.token, connection.path).accepted(site.exchange.url) == ACCEPTED


def everywhere(system: System, site: Site, token: str, path: str) -> list[HttpAnswer]:
    """Show a token at all endpoints, as a source of its own: who has failed too often is not listened to."""
    with another_client(system) as exchange:
        return [
            exchange.heartbeat(token, path),
            exchange.introspect(token, site.bearer, deployment_type="Kubernetes"),
            exchange.introspect(token, site.bearer, deployment_type="ReverseProxy"),
            exchange.redeem(token),
            exchange.redeem(token, deployment_type="ReverseProxy"),
        ]


def is_refusal(answer: HttpAnswer) -> bool:
    """As garbage is refused, or a token of ours that names what is not there."""
    texts = (NOT_A_CONNECTION_TOKEN, NOT_HERE, NOT_A_PAIRING_TOKEN, NOT_EXCHANGED, "the token is not valid")
    inactive = (answer.status, answer.body) == (200, INACTIVE)
    return inactive or (answer.status in (400, 401, 404) and answer.description in texts)


def test_tokens_of_other_kinds_are_no_connection_tokens(site: Site) -> None:
    """All three under one name, so that only their kind can tell them apart."""
    connection = made(site)
    pairing = site.issue("dc-west", ttl="1h")
    other = site.issue("dc-west-2", ttl="1h")
    master = site.exchange.redeem(other).must_succeed()["access_token"]

    for token, used_in in itertools.product((pairing, master), TYPES):
        beat = site.exchange.heartbeat(token, connection.path, deployment_type=used_in)
        said = site.exchange.introspect(token, site.bearer, deployment_type=used_in).must_succeed()
        assert (beat.status, beat.description) == (401, NOT_A_CONNECTION_TOKEN)
        assert said == INACTIVE
    assert site.is_active(pairing)
    assert site.is_active(master)
