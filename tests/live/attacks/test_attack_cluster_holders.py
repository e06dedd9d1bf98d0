"""Holders of tokens and editors of orders send false values to the exchange (S11, S12, S28, S29)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.attackers import Cast, make_cast
from tests.harness.objects import condition, secret_of, wait_for_reason, wait_for_state
from tests.harness.pairing_site import USED_TEXT, claims_of
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


def issued(cast: Cast, name: str) -> str:
    cast.ann.create(cast.site.pairing_token(name)).must_succeed()
    return cast.site.issued(name)


# At the exchange.


def test_the_holder_of_a_used_token_rings_the_bell_once_and_cuts_no_trust(cast: Cast) -> None:
    site, token = cast.site, issued(cast, "replayed")
    master = site.exchange.redeem(token).must_succeed()["access_token"]
    settled = wait_for_state(site.api, site.pairing_token("replayed"), "Used")

    refused = {site.exchange.redeem(token).description for _ in range(5)}

    def reported() -> list[Json]:
        return [e for e in site.events("ReplayDetected") if e["involvedObject"]["name"] == "replayed"]

    assert refused == {USED_TEXT.format(claims_of(token)["jti"])}
    assert [event["message"] for event in poll(reported)] == [
        "the exchange rejected a pairing token that has already been used; see the source in its audit log"
    ]
    assert site.api.get(settled)["status"] == settled["status"]
    assert site.is_active(master)


def test_a_client_id_that_cannot_be_shown_consumes_nothing(cast: Cast) -> None:
    site, token = cast.site, issued(cast, "unshown")
    batch = ("\x1b[31mred", "two\nlines", "nul\x00", "mal\u202elory", "Küche", "x" * 1025)

    refused = [site.exchange.redeem(token, client_id=lie).description for lie in batch]

    assert refused == ["client_id must be at most 1024 printable ASCII characters"] * len(batch)
    assert site.state_of("unshown") == ("Active", 1)


# Sent elsewhere (S12).


def test_a_token_that_would_send_its_holder_elsewhere_is_not_issued(cast: Cast, system: System) -> None:
    site, ours = cast.site, system.up.url
    scheme, _, rest = ours.partition("://")
    foreign = {
        "another-host": ("baseURL", "https://evil.example"),
        "a-longer-host": ("baseURL", "https://127.0.0.1.evil.example"),
        "another-port": ("baseURL", "https://127.0.0.1:1"),
        "a-path-of-ours": ("baseURL", f"{ours}/evil"),
        "dots": ("baseURL", f"{ours}/../evil"),
        "another-endpoint": ("exchangeURL", f"{ours}/oauth2/token/evil"),
        "ours-as-a-path": ("exchangeURL", f"{scheme}://evil.example/{rest}/oauth2/token"),
    }
    for name, (field, url) in foreign.items():
        cast.ann.create(site.pairing_token(name, **{field: url})).must_succeed()

    stalled = {name: wait_for_reason(site.api, site.pairing_token(name), "ForeignURL") for name in foreign}

    reported = {name: condition(token, "Stalled")["message"] for name, token in stalled.items()}
    assert reported == {name: foreign_text(field, url, ours) for name, (field, url) in foreign.items()}
    assert [site.api.find(secret_of(site.pairing_token(name))) for name in foreign] == [None] * len(foreign)
    assert {token["status"]["state"] for token in stalled.values()} == {"Pending"}


def foreign_text(field: str, url: str, ours: str) -> str:
    known = ours if field == "baseURL" else f"{ours}/oauth2/token"
    return (
        f"{field} {url} is not a URL of this service; known: {known}; "
        "correct or remove it in the edit that raises spec.serial to 2"
    )
