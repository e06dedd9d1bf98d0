"""Ordinary users write the record themselves: redeem, un-redeem, revive, forge a master token (S1, S2, S7, S11).

Everybody tries every attack in every way, while controller and exchange are at work. What they are told is compared
word by word, and afterwards nothing in the namespace has another version than before.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests.harness.api import Api
from tests.harness.attackers import (
    APPLY,
    MERGE,
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
    wait_until_inactive,
    world,
)
from tests.harness.system import System

Json = dict[str, Any]

RECORD = (
    "only system:serviceaccount:tallystick-system:tallystick-controller and "
    "system:serviceaccount:tallystick-system:tallystick-exchange may write the status"
)
BY_HAND = (
    "only the operator can create a MasterToken (system:serviceaccount:tallystick-system:tallystick-exchange or "
    "system:serviceaccount:tallystick-system:tallystick-controller); redeem a PairingToken to get one"
)
USED = "a Used, Expired or Revoked token cannot become Active again; Used and Expired can change only to Revoked"
FINAL = "status.redemption: Invalid value: status.redemption is immutable once it is set"
ENDED = "an Expired or Revoked master token cannot become Active again; Expired can change only to Revoked"
REDEMPTION = {
    "redemptionID": "c-1",
    "masterTokenID": "m-1",
    "kid": "k-1",
    "scope": ["mission-control:admin", "federated-repo:sync"],
    "time": "2030-01-01T12:00:00Z",
}
# None takes a field out.
GONE = None
EVERYBODY = ("ann", "star", "boss", "tenant", "reader")


class Forgery(NamedTuple):
    """What the status of a victim is to say, and what its only writer with a right to try, star, is told.

    Args:
        by_apply: what server-side apply is told where it is not the same: a field that is left out stays.
    """

    victim: str
    status: Json
    text: str
    by_apply: str = ""


FORGERIES = {
    "redeem it": Forgery("active", {"state": "Used", "redemption": REDEMPTION}, RECORD),
    "give it another id": Forgery("active", {"tokenID": "mine"}, RECORD),
    "prolong it": Forgery("active", {"expirationTime": "2099-01-01T00:00:00Z"}, RECORD),
    "make it speak for admin": Forgery("active", {"subject": "admin"}, RECORD),
    "name another key": Forgery("active", {"kid": "mine", "claimsDigest": "mine"}, RECORD),
    "run ahead of the order": Forgery("active", {"serial": 2}, "status.serial must not be greater than spec.serial"),
    "have it issued again": Forgery(
        "active", {"state": GONE, "serial": GONE}, "status.serial cannot be lowered", RECORD
    ),
    "kill it": Forgery("active", {"state": "Revoked", "revokedThrough": 1}, RECORD),
    "un-redeem it": Forgery("used", {"redemption": GONE}, FINAL, RECORD),
    "redeem it for oneself": Forgery("used", {"redemption": REDEMPTION}, FINAL),
    "revive the used": Forgery("used", {"state": "Active"}, USED),
    "make the used as new": Forgery(
        "used", {"state": "Active", "redemption": GONE}, f"[{FINAL}, <nil>: Invalid value: {USED}]", USED
    ),
    "revive the revoked": Forgery("revoked", {"state": "Active"}, USED),
    "be used again": Forgery("revoked", {"state": "Used"}, USED),
    "redeem the revoked": Forgery("revoked", {"redemption": REDEMPTION}, FINAL),
    "take a revocation back": Forgery(
        "revoked",
        {"state": "Used", "revokedThrough": GONE},
        "[<nil>: Invalid value: status.revokedThrough cannot be lowered: a revocation is permanent, "
        f"<nil>: Invalid value: {USED}]",
        USED,
    ),
    "bury a trust": Forgery("used master", {"state": "Revoked"}, RECORD),
    "age a trust": Forgery("used master", {"state": "Expired"}, RECORD),
    "revive a trust": Forgery("revoked master", {"state": "Active"}, ENDED),
    "make a trust as new": Forgery("revoked master", {"state": GONE, "revokedTime": GONE}, ENDED, RECORD),
}


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


@pytest.fixture(scope="module")
def victims(cast: Cast) -> Victims:
    return make_victims(cast)


# The status.


@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
@pytest.mark.parametrize("user", EVERYBODY)
def test_no_one_writes_the_record(cast: Cast, victims: Victims, user: str, way: Way) -> None:
    before, attacks = world(cast.site), tried(FORGERIES, with_a_right=user == "star")

    heard = {
        attack: said(
            way.write(cast.actor(user), live(cast, victims, forgery.victim), forged(victims, forgery), "status")
        )
        for attack, forgery in attacks.items()
    }

    assert heard == {attack: refusal(cast, user, way, forgery) for attack, forgery in attacks.items()}
    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)


def forged(victims: Victims, forgery: Forgery) -> Json:
    """Give the victim with a forged status, complete as its owner would write it."""
    body = bare(victims.objects[forgery.victim])
    status = body["status"] | forgery.status
    return body | {"status": {key: value for key, value in status.items() if value is not GONE}}


def refusal(cast: Cast, user: str, way: Way, forgery: Forgery) -> str:
    if user == "star":
        return (way is APPLY and forgery.by_apply) or forgery.text
    plural = "mastertokens" if forgery.victim.endswith("master") else "pairingtokens"
    return cannot(user, way.verb, f"{plural}/status", cast.site.namespace)


def test_a_status_that_another_user_applies_without_force_is_a_conflict(cast: Cast, victims: Victims) -> None:
    before = world(cast.site)

    answer = cast.star.apply(forged(victims, FORGERIES["revive the used"]), subresource="status", force=False)

    assert 'conflict with "tallystick-exchange" with subresource "status" using' in answer.message
    assert world(cast.site) == before


@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
@pytest.mark.parametrize("user", ["ann", "star"])
def test_a_status_that_is_written_beside_the_spec_is_not_stored(
    cast: Cast, victims: Victims, user: str, way: Way
) -> None:
    # Whoever may edit may write the object, and the API server keeps the status out of that (a subresource of its own).
    heard = {
        attack: said(way.write(cast.actor(user), live(cast, victims, forgery.victim), forged(victims, forgery), ""))
        for attack, forgery in FORGERIES.items()
    }

    after = {name: what_counts(live(cast, victims, name)) for name in victims.objects}
    assert heard == dict.fromkeys(FORGERIES, "")
    assert after == {name: what_counts(body) for name, body in victims.objects.items()}
    assert alive(cast, victims) == UNTOUCHED


def what_counts(body: Json) -> tuple[Json, Json, int]:
    return body["spec"], body["status"], body["metadata"]["generation"]


def test_no_subresource_but_the_status_is_served(cast: Cast, victims: Victims) -> None:
    for name in ("finalizers", "scale", "approval"):
        answer = cast.star.merge(victims.objects["active"], {"spec": {}}, subresource=name)

        assert answer.message == 'pairingtokens.tallystick.dev "active" not found'


# Master tokens.


def _copied(spec: Json) -> Json:
    """A trust that lives, under another name."""
    return spec


def _widened(spec: Json) -> Json:
    return spec | {"scope": REDEMPTION["scope"], "subject": "admin", "redemptionID": "c-1", "tokenID": "m-1"}


def _without_a_pairing(spec: Json) -> Json:
    """The bootstrap token, which comes from no pairing (S27)."""
    return {key: value for key, value in spec.items() if key not in ("pairingTokenRef", "serial", "redemptionID")}


@pytest.mark.parametrize("forge", [_copied, _widened, _without_a_pairing])
@pytest.mark.parametrize("user", EVERYBODY)
def test_no_one_makes_a_master_token(cast: Cast, victims: Victims, user: str, forge: Callable[[Json], Json]) -> None:
    api, before = cast.actor(user), world(cast.site)
    real = bare(victims.objects["used master"])
    body = real | {"metadata": real["metadata"] | {"name": "mtok-forged"}, "spec": forge(real["spec"])}

    heard = [
        said(api.create(body)),
        said(api.create(body, dry_run=True)),
        said(api.apply(body)),
        said(api.kubectl_apply({key: value for key, value in body.items() if key != "status"})),
    ]

    assert heard == made_by_hand(cast, user)
    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)


def made_by_hand(cast: Cast, user: str) -> list[str]:
    """Say what create, its dry run, server-side apply and `kubectl apply` are told.

    Server-side apply needs the right to patch first, and `kubectl apply` looks before it writes.
    """
    if user == "star":
        return [BY_HAND] * 4

    def no(verb: str) -> str:
        return cannot(user, verb, "mastertokens", cast.site.namespace)

    patches = "create" if user == "ann" else "patch"
    looks = "get" if user == "tenant" else "create"
    return [no("create"), no("create"), no(patches), no(looks)]


EDITED = "spec: Forbidden: only spec.revoked can be changed: the exchange creates master tokens"
REACTIVATED = "spec: Forbidden: a revoked master token cannot be reactivated; pair again to get a new one"
MASTER_EDITS: dict[str, tuple[str, Json, str]] = {
    "widen the scope": ("used master", {"scope": REDEMPTION["scope"]}, EDITED),
    "speak for admin": ("used master", {"subject": "admin"}, EDITED),
    "live longer": ("used master", {"expirationTime": "2099-01-01T00:00:00Z"}, EDITED),
    "be accepted elsewhere": ("used master", {"audience": ["https://elsewhere.example"]}, EDITED),
    "be of another pairing": ("used master", {"pairingTokenRef": {"name": "active", "uid": "0"}}, EDITED),
    "outlive its pairing": ("used master", {"deletionPolicy": "Retain"}, EDITED),
    "take another id": ("used master", {"tokenID": "m-1"}, EDITED),
    "be bound to my key": ("used master", {"keyThumbprint": "mine"}, EDITED),
    "revoke and edit at once": ("used master", {"revoked": True, "subject": "admin"}, EDITED),
    "belong to a later serial": ("revoked master", {"serial": 2}, EDITED),
}


@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
@pytest.mark.parametrize("user", EVERYBODY)
def test_no_one_edits_a_master_token(cast: Cast, victims: Victims, user: str, way: Way) -> None:
    api, before, may_edit = cast.actor(user), world(cast.site), user in ("ann", "star")
    attacks = tried(MASTER_EDITS, with_a_right=may_edit)

    heard = {
        attack: said(way.write(api, live(cast, victims, victim), edited(victims, victim, change), ""))
        for attack, (victim, change, _) in attacks.items()
    }

    refused = cannot(user, way.verb, "mastertokens", cast.site.namespace)
    assert heard == {attack: text if may_edit else refused for attack, (_, _, text) in attacks.items()}
    assert (world(cast.site), alive(cast, victims)) == (before, UNTOUCHED)


def edited(victims: Victims, victim: str, change: Json) -> Json:
    body = bare(victims.objects[victim])
    return {key: body[key] for key in ("apiVersion", "kind", "metadata")} | {"spec": body["spec"] | change}


@pytest.mark.parametrize("user", ["ann", "bob", "star"])
def test_a_trust_that_was_revoked_by_its_order_is_not_taken_back(cast: Cast, user: str) -> None:
    site, api = cast.site, cast.actor(user)
    paired = site.paired(f"taken-back-by-{user}")
    master = site.master_token(paired["token_id"])
    cast.ann.merge(master, {"spec": {"revoked": True}}).must_succeed()
    live = site.api.get(master)

    heard = [said(MERGE.write(api, live, bare(live) | {"spec": live["spec"] | {"revoked": False}}, ""))]
    heard += [said(api.patch(live, [{"op": "remove", "path": "/spec/revoked"}]))]

    assert heard == [REACTIVATED] * 2
    wait_until_inactive(site, paired["access_token"])
