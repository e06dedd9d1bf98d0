"""A tenant reaches for another's namespace: by paths, by bodies, at the exchange, with all rights in one's own.

Rules S15 and S16."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.attackers import STAR, UNTOUCHED, Cast, Victims, alive, cannot, make_cast, make_victims, said, world
from tests.harness.grants import grant
from tests.harness.pairing_site import INVALID_TEXT, claims_of
from tests.harness.system import System

Json = dict[str, Any]

INACTIVE = {"active": False}
ROOT = "/apis/tallystick.dev/v1alpha1"


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


@pytest.fixture(scope="module")
def victims(cast: Cast) -> Victims:
    return make_victims(cast)


# At the API server.


NOT_FOUND = "404 page not found"


@pytest.mark.parametrize("plural", ["pairingtokens", "mastertokens"])
def test_no_path_leads_into_another_namespace(cast: Cast, victims: Victims, plural: str) -> None:
    here, there, before = cast.site.namespace, cast.elsewhere.namespace, world(cast.site)
    tricks = {
        f"{ROOT}/namespaces/{here}/{plural}": cannot("tenant", "list", plural, here),
        f"{ROOT}/namespaces/{there}/../{here}/{plural}": cannot("tenant", "list", plural, here),
        f"{ROOT}/watch/namespaces/{here}/{plural}": cannot("tenant", "watch", plural, here),
        f"{ROOT}/{plural}": cannot("tenant", "list", plural),
        f"{ROOT}/namespaces/*/{plural}": cannot("tenant", "list", plural, "*"),
        f"{ROOT}/namespaces/{there}%00{here}/{plural}": cannot("tenant", "list", plural, f"{there}\\x00{here}"),
        f"{ROOT}/namespaces/{there}/%2e%2e/{here}/{plural}": NOT_FOUND,
        f"{ROOT}/namespaces/{there}%2f..%2f{here}/{plural}": NOT_FOUND,
        f"{ROOT}/namespaces/{there}//{here}/{plural}": NOT_FOUND,
    }

    heard = {path: said(cast.tenant.attempt("GET", path)) for path in tricks}

    assert heard == tricks
    assert world(cast.site) == before


def test_an_object_of_another_namespace_is_not_smuggled_in_by_ones_own(cast: Cast, victims: Victims) -> None:
    before, path = world(cast.site), f"{ROOT}/namespaces/{cast.elsewhere.namespace}/pairingtokens"

    answer = cast.tenant.attempt("POST", path, cast.site.pairing_token("smuggled"))

    assert answer.message == "the namespace of the provided object does not match the namespace sent on the request"
    assert world(cast.site) == before


@pytest.mark.parametrize("name", ["active", "used master"])
def test_a_tenant_neither_deletes_nor_revokes_what_is_not_theirs(cast: Cast, victims: Victims, name: str) -> None:
    body, before, here = victims.objects[name], world(cast.site), cast.site.namespace
    plural = "mastertokens" if name.endswith("master") else "pairingtokens"

    heard = [
        said(cast.tenant.delete(body)),
        said(cast.tenant.delete(body, propagation="Orphan")),
        said(cast.tenant.delete_all(body["kind"], here)),
        said(cast.tenant.merge(body, {"spec": {"revoked": True}})),
    ]

    assert heard == [cannot("tenant", verb, plural, here) for verb in ("delete", "delete", "deletecollection", "patch")]
    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)


# At the exchange.


def test_all_rights_in_a_namespace_of_ones_own_reveal_nothing_of_another(
    cast: Cast, victims: Victims, admin: Api
) -> None:
    there = cast.elsewhere
    account = {"kind": "ServiceAccount", "metadata": {"name": "greedy", "namespace": there.namespace}}
    admin.create({"apiVersion": "v1", **account}).must_succeed()
    grant(admin, there.namespace, f"system:serviceaccount:{there.namespace}:greedy", STAR)
    bearer = admin.request_token(there.namespace, "greedy", there.exchange.issuer)
    own = there.paired("own")["access_token"]

    heard = [
        there.exchange.introspect(token, bearer).body
        for token in (victims.pairing, victims.used_master, victims.revoked_master)
    ]

    assert heard == [INACTIVE] * 3
    assert there.exchange.introspect(own, bearer).body["active"] is True


def test_a_token_of_ones_own_opens_nothing_of_the_same_name_elsewhere(cast: Cast, victims: Victims) -> None:
    there, before = cast.elsewhere, world(cast.site)
    cast.tenant.create(there.pairing_token("active")).must_succeed()
    own = there.issued("active")

    # Each part of the other's token under the signature of one's own, and the other way round.
    parts, others = own.split("."), victims.pairing.split(".")
    spliced = [
        ".".join(mixed)
        for mixed in (
            (parts[0], others[1], parts[2]),
            (others[0], others[1], parts[2]),
            (others[0], parts[1], others[2]),
        )
    ]
    refused = [there.exchange.redeem(token).description for token in spliced]
    for token in spliced:
        there.exchange.revoke(token).must_succeed()

    master = there.exchange.redeem(own).must_succeed()["access_token"]
    assert refused == [INVALID_TEXT] * len(spliced)
    assert claims_of(master)["sub"] == "tenant"
    assert cast.site.api.find(cast.site.master_token(claims_of(master)["jti"])) is None
    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)


def test_ending_the_pairing_of_the_same_name_elsewhere_ends_nothing_here(cast: Cast, victims: Victims) -> None:
    there, before = cast.elsewhere, world(cast.site)
    for name in ("used", "revoked"):
        cast.tenant.create(there.pairing_token(name)).must_succeed()
        there.issued(name)

    cast.tenant.merge(there.pairing_token("used"), {"spec": {"revoked": True}}).must_succeed()
    cast.tenant.delete(there.pairing_token("revoked")).must_succeed()

    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)
