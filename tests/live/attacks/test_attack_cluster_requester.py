"""Editors forge who asked, for what, and which object it is: what is stored is what admission makes of it.

Rules S2 to S5, S11 and S24. Most of this is not refused, so what counts is what the token says that comes of it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tallystick.pairing.domain.requester import VALIDATION_REJECTS_FORGED
from tests.harness.api import Api
from tests.harness.attackers import Cast, cannot, make_cast, said
from tests.harness.grants import grant
from tests.harness.objects import secret_of, wait_for_state
from tests.harness.pairing_site import REVOKED_TEXT, claims_of
from tests.harness.rule_cases import every_creator, every_writer
from tests.harness.system import System
from tests.harness.writers import Writer

Json = dict[str, Any]

USE_CASE = (
    "you cannot request use case {} in namespace {}; "
    "ask an administrator for a RoleBinding to ClusterRole tallystick-usecase-{}"
)


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


# Who asked.


@every_creator
def test_a_user_who_forges_the_requester_is_refused_and_gets_a_token_in_their_own_name_alone(
    cast: Cast, admin: Api, writer: Writer
) -> None:
    site, name = cast.site, f"framed-{writer.name.replace(' ', '-')}"
    exchange = "system:serviceaccount:tallystick-system:tallystick-exchange"
    forged = site.pairing_token(name, requestedBy="ann", serviceAccountName="admin")

    refused = writer.create(cast.bob, forged)

    assert said(refused) == f"{VALIDATION_REJECTS_FORGED} to bob"
    assert admin.find(forged) is None
    writer.create(cast.bob, site.pairing_token(name, serviceAccountName="admin")).must_succeed()
    token = site.issued(name)
    master = site.exchange.redeem(token, client_id=exchange).must_succeed()
    record = site.api.get(site.master_token(master["token_id"]))["spec"]
    assert (claims_of(token)["sub"], claims_of(master["access_token"])["sub"]) == ("bob", "bob")
    # S11: what the client calls itself is written down, and is nobody's identity.
    assert (record["subject"], record["clientID"]) == ("bob", exchange)


@every_writer
def test_a_user_who_orders_again_in_a_colleagues_name_is_the_requester(cast: Cast, writer: Writer) -> None:
    site, name = cast.site, f"reordered-{writer.name.replace(' ', '-')}"
    body = site.pairing_token(name)
    writer.create(cast.ann, body).must_succeed()
    first = site.issued(name)

    writer.edit(cast.bob, body, site.pairing_token(name, serial=2, requestedBy="ann")).must_succeed()

    second = site.issued(name, serial=2)
    assert [claims_of(token)["sub"] for token in (first, second)] == ["ann", "bob"]
    assert site.exchange.redeem(first).description == REVOKED_TEXT.format(claims_of(first)["jti"])


def test_a_requester_who_cannot_be_shown_is_refused(cast: Cast, admin: Api) -> None:
    # A right-to-left override, as an identity provider might hand it out (S28); it travels in a header as UTF-8.
    name, as_header = "mal\u202elory", "mal\u202elory".encode().decode("latin-1")
    for role in ("tallystick-edit", "tallystick-usecase-mission-control"):
        grant(admin, cast.site.namespace, name, role)
    body = cast.site.pairing_token("unprintable")

    answer = admin.as_user(as_header).create(body)

    assert said(answer) == (
        "spec.requestedBy: Invalid value: requestedBy must not contain control characters, invisible or private-use "
        "characters"
    )
    assert admin.find(body) is None


# For what.


def test_a_namespace_of_ones_own_gives_no_wide_scope(cast: Cast, admin: Api) -> None:
    there, wanted = cast.elsewhere, ("mission-control", "federated-repo", "admin")
    for role in ("edit", "tallystick-edit"):
        grant(admin, there.namespace, "guest", role)
    guest = admin.as_user("guest", "system:authenticated")

    heard = [said(guest.create(there.pairing_token("wide", useCase=name))) for name in wanted]

    assert heard == [USE_CASE.format(name, there.namespace, name) for name in wanted]
    assert admin.find(there.pairing_token("wide")) is None


def test_a_wider_scope_is_not_redeemed_and_the_token_is_not_used(cast: Cast) -> None:
    site, asked = cast.site, "mission-control:admin federated-repo:sync"
    cast.ann.create(site.pairing_token("wider")).must_succeed()

    refused = site.exchange.redeem(site.issued("wider"), scope=asked)

    assert refused.body["error"] == "invalid_scope"
    assert refused.description == f'scope "{asked}" is not part of use case mission-control'
    assert site.state_of("wider") == ("Active", 1)


def test_a_role_for_everything_of_ours_holds_every_use_case_of_its_namespace_alone(cast: Cast) -> None:
    # Whoever grants `*` on `tallystick.dev/*` has granted `use usecases/*`, too: RBAC knows no exception from `*`.
    here = cast.star.create(cast.site.pairing_token("every", useCase="federated-repo"))
    there = cast.star.create(cast.elsewhere.pairing_token("every"))

    assert here.must_succeed()["spec"]["requestedBy"] == "star"
    assert said(there) == cannot("star", "create", "pairingtokens", cast.elsewhere.namespace)


# Which object.


def test_a_record_that_is_sent_along_with_an_order_is_not_stored(cast: Cast) -> None:
    site = cast.site
    other = site.paired("spent-before")["access_token"]
    record = site.api.get(site.pairing_token("spent-before"))["status"]
    body = site.pairing_token("brought-along")

    created = cast.ann.create(body | {"status": record}).must_succeed()

    status = wait_for_state(site.api, body, "Active")["status"]
    assert created["status"] == {"observedGeneration": -1}
    assert "redemption" not in status
    assert status["tokenID"] != record["tokenID"]
    assert site.is_active(other)


@every_creator
def test_the_identity_of_another_object_is_not_taken_along(cast: Cast, writer: Writer) -> None:
    # S24: tokens name the uid of their object, so it must be the API server's to give.
    site, name = cast.site, f"twin-{writer.name.replace(' ', '-')}"
    uid = cast.ann.create(site.pairing_token(f"first-{name}")).must_succeed()["metadata"]["uid"]
    body = site.pairing_token(name)

    answer = writer.create(cast.ann, body | {"metadata": body["metadata"] | {"uid": uid}})

    if writer.name == "server-side apply":
        assert answer.message == (
            f'Operation cannot be fulfilled on pairingtokens.tallystick.dev "{name}": uid mismatch: '
            f"the provided object specified uid {uid}, and no existing object was found"
        )
    else:
        assert answer.must_succeed()["metadata"]["uid"] != uid


def test_a_dry_run_issues_nothing(cast: Cast) -> None:
    site, body = cast.site, cast.site.pairing_token("rehearsed")

    answer = cast.ann.create(body, dry_run=True)

    # What is issued after it shows that the controller had the time for it.
    cast.ann.create(site.pairing_token("played")).must_succeed()
    site.issued("played")
    assert answer.must_succeed()["spec"]["requestedBy"] == "ann"
    assert (site.api.find(body), site.api.find(secret_of(body))) == (None, None)


def test_labels_and_annotations_of_ours_order_nothing(cast: Cast) -> None:
    # D11: nothing is ever minted because of a label or an annotation.
    site = cast.site
    master = site.paired("labelled")["access_token"]
    used = wait_for_state(site.api, site.pairing_token("labelled"), "Used")
    ours = {"tallystick.dev/token-id": "mine", "tallystick.dev/reissue": "true", "tallystick.dev/name": "active"}

    cast.bob.merge(used, {"metadata": {"labels": ours, "annotations": ours}}).must_succeed()

    # What is issued after it shows that the controller has seen it.
    cast.ann.create(site.pairing_token("after-the-labels")).must_succeed()
    site.issued("after-the-labels")
    now = site.api.get(used)
    assert (now["spec"], now["status"]) == (used["spec"], used["status"])
    assert site.is_active(master)
