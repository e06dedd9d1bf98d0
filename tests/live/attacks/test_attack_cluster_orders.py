"""Editors bend the orders of their colleagues: what is signed, who asked, what is revoked (S2-S5).

An editor may write the spec. What they may make of it is refused or stamped by admission alone, while controller and
exchange are at work; the texts are compared word by word.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.attackers import (
    KUBECTL_APPLY,
    UNTOUCHED,
    WAYS,
    Cast,
    Victims,
    Way,
    alive,
    bare,
    cannot,
    live,
    make_cast,
    make_victims,
    said,
    tried,
    world,
)
from tests.harness.system import System

Json = dict[str, Any]

EVIL = "https://evil.example"
MAY_EDIT = ("ann", "bob", "star")
MAY_NOT = ("boss", "tenant", "reader")
USE_CASE = (
    "you cannot request use case {} in namespace {}; "
    "ask an administrator for a RoleBinding to ClusterRole tallystick-usecase-{}"
)
NEVER_ISSUED = (
    "spec: Invalid value: no token is issued while spec.revoked is true; set it to false in the edit that raises "
    "spec.serial"
)


def _signed(field: str) -> str:
    return (
        f"spec: Forbidden: {field} is part of the signed token; raise spec.serial in the same edit to issue a new one"
    )


# What an editor makes of a spec: whose, how, and the answer.
EDITS: dict[str, tuple[str, Json, str]] = {
    "slip in a use case": ("active", {"useCase": "federated-repo"}, _signed("useCase")),
    "slip in a longer life": ("active", {"ttl": "24h"}, _signed("ttl")),
    "send the holder elsewhere": ("active", {"exchangeURL": f"{EVIL}/x"}, _signed("exchangeURL")),
    "name another issuer": ("active", {"baseURL": EVIL}, _signed("baseURL")),
    "name another way back": ("active", {"pairingURL": EVIL}, _signed("pairingURL")),
    "choose who may redeem": ("active", {"peerURL": EVIL}, _signed("peerURL")),
    "speak for an account": ("active", {"serviceAccountName": "admin"}, _signed("serviceAccountName")),
    "let the trust live longer": (
        "active",
        {"masterToken": {"ttl": "87600h", "deletionPolicy": "Revoke"}},
        _signed("masterToken.ttl"),
    ),
    "skip a serial": (
        "active",
        {"serial": 3},
        "spec: Invalid value: serial can rise only by 1; set it to the current spec.serial + 1",
    ),
    "retain what was to end": (
        "active",
        {"masterToken": {"deletionPolicy": "Retain"}},
        "spec.masterToken: Forbidden: masterToken.deletionPolicy is immutable",
    ),
    "retain it with a new serial": (
        "used",
        {"serial": 2, "masterToken": {"deletionPolicy": "Retain"}},
        "spec.masterToken: Forbidden: masterToken.deletionPolicy is immutable",
    ),
    "write into another Secret": ("active", {"secretName": "precious"}, "spec: Forbidden: secretName is immutable"),
    "widen what was redeemed": ("used", {"useCase": "federated-repo"}, _signed("useCase")),
    "order and revoke at once": (
        "used",
        {"serial": 2, "revoked": True},
        NEVER_ISSUED,
    ),
    "take a revocation back": (
        "revoked",
        {"revoked": False},
        "spec: Forbidden: a revoked token cannot be reactivated; raise spec.serial to issue a new one",
    ),
    "order anew and leave it revoked": (
        "revoked",
        {"serial": 2},
        NEVER_ISSUED,
    ),
}


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


@pytest.fixture(scope="module")
def victims(cast: Cast) -> Victims:
    return make_victims(cast)


@pytest.mark.parametrize(
    ("user", "way"),
    [(user, way) for user in (*MAY_EDIT, *MAY_NOT) for way in WAYS],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_no_order_is_bent(cast: Cast, victims: Victims, user: str, way: Way) -> None:
    before, attacks = world(cast.site), tried(EDITS, with_a_right=user in MAY_EDIT)

    heard = {
        attack: said(way.write(cast.actor(user), live(cast, victims, victim), ordered(victims, victim, change), ""))
        for attack, (victim, change, _) in attacks.items()
    }

    no_right = cannot(user, way.verb, "pairingtokens", cast.site.namespace)
    assert heard == {attack: no_right if user in MAY_NOT else text for attack, (_, _, text) in attacks.items()}
    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)


def test_no_order_is_bent_by_kubectl(cast: Cast, victims: Victims) -> None:
    before, attacks = world(cast.site), ("slip in a longer life", "take a revocation back")

    heard = [said(cast.bob.kubectl_apply(ordered(victims, EDITS[attack][0], EDITS[attack][1]))) for attack in attacks]

    assert heard == [EDITS[attack][2] for attack in attacks]
    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)


@pytest.mark.parametrize("way", [*WAYS, KUBECTL_APPLY], ids=lambda way: way.name)
@pytest.mark.parametrize("user", ["ann", "bob"])
def test_no_edit_that_issues_nothing_makes_anyone_the_requester(
    cast: Cast, victims: Victims, user: str, way: Way
) -> None:
    live_before = live(cast, victims, "active")

    for name in ("bob", "cem", "system:serviceaccount:tallystick-system:tallystick-exchange"):
        change = {"requestedBy": name}
        again = way.write(cast.actor(user), live(cast, victims, "active"), ordered(victims, "active", change), "")
        assert again.must_succeed()["spec"] == live_before["spec"]
        assert again.body["metadata"]["generation"] == live_before["metadata"]["generation"]

    assert live_before["spec"]["requestedBy"] == "ann"
    assert alive(cast, victims) == UNTOUCHED


def ordered(victims: Victims, victim: str, change: Json) -> Json:
    body = bare(victims.objects[victim])
    return {key: body[key] for key in ("apiVersion", "kind", "metadata")} | {"spec": body["spec"] | change}


@pytest.mark.parametrize("way", [*WAYS, KUBECTL_APPLY], ids=lambda way: way.name)
@pytest.mark.parametrize("user", ["ann", "bob"])
def test_a_use_case_is_not_slipped_in_with_a_new_serial(cast: Cast, victims: Victims, user: str, way: Way) -> None:
    before, change = world(cast.site), {"serial": 2, "useCase": "federated-repo", "requestedBy": "ann"}

    answer = way.write(cast.actor(user), live(cast, victims, "active"), ordered(victims, "active", change), "")

    assert said(answer) == USE_CASE.format("federated-repo", cast.site.namespace, "federated-repo")
    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_fields_that_another_user_applies_by_force_change_nothing(cast: Cast, victims: Victims, way: Way) -> None:
    live = cast.site.api.get(victims.objects["active"])

    again = way.write(cast.bob, live, ordered(victims, "active", {}), "").must_succeed()

    assert (again["spec"], again["metadata"]["generation"]) == (live["spec"], live["metadata"]["generation"])
    assert again["spec"]["requestedBy"] == "ann"
    assert alive(cast, victims) == UNTOUCHED


def test_fields_that_another_user_applies_without_force_are_a_conflict(cast: Cast, victims: Victims) -> None:
    before = world(cast.site)

    answer = cast.bob.apply(ordered(victims, "active", {"revoked": True, "ttl": "24h"}), force=False)

    assert answer.message.startswith("Apply failed with 1 conflict: conflict with")
    assert answer.message.endswith(": .spec.revoked")
    assert world(cast.site) == before
