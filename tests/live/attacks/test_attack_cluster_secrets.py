"""Editors work on the Secrets of pairing tokens: swap, freeze, forge an owner, stand in the way (S3, S7, S22).

An editor reads and writes all Secrets of the namespace, as the role `edit` of Kubernetes allows. What the controller
puts back is the very token that was issued, and what is not ours it never touches.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.attackers import Cast, make_cast, wait_until_inactive
from tests.harness.grants import grant
from tests.harness.objects import condition, secret_of, value_of, wait_for_reason, wait_for_state, wait_until_gone
from tests.harness.processes import poll
from tests.harness.system import System

Json = dict[str, Any]

HEALED_WITHIN = 5.0
OUR_LABELS = {"app.kubernetes.io/managed-by": "tallystick", "tallystick.dev/kind": "PairingToken"}


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


def content(secret: Json | None) -> Json | None:
    """What we answer for in a Secret."""
    if secret is None or secret["metadata"].get("deletionTimestamp"):
        return None
    meta = {key: secret["metadata"].get(key) for key in ("name", "labels", "ownerReferences")}
    return {"meta": meta, "data": secret.get("data"), "type": secret["type"], "immutable": secret.get("immutable")}


def copied(secret: Json, **metadata: object) -> Json:
    """A Secret as somebody makes it who has read ours: with all its labels and its owner."""
    kept = {key: secret["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    return {key: secret[key] for key in ("apiVersion", "kind", "type", "data")} | {"metadata": kept | metadata}


# In the place of ours.


def _swapped_for_a_colleagues(ann: Api, mine: Json, other: Json) -> None:
    ann.merge(mine, {"data": {"token": other["data"]["token"]}}).must_succeed()


def _replaced_by_a_frozen_forgery(ann: Api, mine: Json, other: Json) -> None:
    """Labels and the owner are the true ones, so by them the forgery is ours."""
    ann.delete(mine).must_succeed()
    # The controller may be faster; then its Secret is the one that is frozen.
    forgery = copied(mine) | {"immutable": True, "data": other["data"]}
    if not ann.create(forgery).succeeded:
        ann.merge(mine, {"immutable": True, "data": other["data"]}).must_succeed()


def _labelled_as_a_colleagues(ann: Api, mine: Json, other: Json) -> None:
    ann.merge(mine, {"metadata": {"labels": other["metadata"]["labels"]}}).must_succeed()


def _all_deleted(ann: Api, mine: Json, _: Json) -> None:
    ann.delete_all("Secret", mine["metadata"]["namespace"]).must_succeed()


DAMAGE = (
    _swapped_for_a_colleagues,
    _replaced_by_a_frozen_forgery,
    _labelled_as_a_colleagues,
    _all_deleted,
)


@pytest.mark.parametrize("damage", DAMAGE, ids=[damage.__name__.strip("_").replace("_", " ") for damage in DAMAGE])
def test_the_token_that_was_issued_is_back_and_is_the_one_that_counts(
    cast: Cast, damage: Callable[[Api, Json, Json], None]
) -> None:
    site, name = cast.site, damage.__name__.strip("_").replace("_", "-")
    tokens = {owner: _issued(cast, f"{owner}-{name}") for owner in ("mine", "other")}
    mine, other = (site.api.get(secret_of(site.pairing_token(f"{owner}-{name}"))) for owner in tokens)

    damage(cast.ann, mine, other)

    poll(lambda: content(site.api.find(mine)) == content(mine), seconds=HEALED_WITHIN)
    poll(lambda: content(site.api.find(other)) == content(other), seconds=HEALED_WITHIN)
    assert [site.is_active(token) for token in tokens.values()] == [True, True]
    assert [site.state_of(f"{owner}-{name}") for owner in tokens] == [("Active", 1)] * 2


def _issued(cast: Cast, name: str) -> str:
    cast.ann.create(cast.site.pairing_token(name)).must_succeed()
    return cast.site.issued(name)


def test_a_secret_that_was_frozen_as_it_is_keeps_neither_the_next_serial_nor_its_end_away(cast: Cast) -> None:
    site = cast.site
    first = _issued(cast, "frozen")
    body = site.pairing_token("frozen")
    cast.ann.merge(secret_of(body), {"immutable": True}).must_succeed()

    cast.bob.merge(body, {"spec": {"serial": 2}}).must_succeed()

    second = site.issued("frozen", serial=2)
    wait_until_inactive(site, first)
    assert site.is_active(second)
    cast.ann.merge(secret_of(body), {"immutable": True}).must_succeed()
    site.exchange.redeem(second).must_succeed()
    wait_until_gone(site.api, secret_of(body))


def test_a_secret_that_is_held_after_its_token_was_used_holds_nothing_of_worth(cast: Cast) -> None:
    site = cast.site
    token = _issued(cast, "held")
    secret = secret_of(site.pairing_token("held"))
    cast.ann.merge(secret, {"metadata": {"finalizers": ["example.com/held"]}}).must_succeed()
    master = site.exchange.redeem(token).must_succeed()["access_token"]

    poll(lambda: "deletionTimestamp" in site.api.get(secret)["metadata"])

    stale = value_of(site.api.get(secret), "token")
    assert (stale == token, site.is_active(stale), site.is_active(master)) == (True, False, True)
    cast.ann.merge(secret, {"metadata": {"finalizers": None}}).must_succeed()
    wait_until_gone(site.api, secret)


# In the way of ours.


def _conflict(secret: Json, token: Json) -> str:
    meta = secret["metadata"]
    owners = [f"{meta['namespace']}/{owner['name']}" for owner in meta.get("ownerReferences", [])]
    itself = f"{meta['namespace']}/{token['metadata']['name']}"
    another = " with a different uid" if itself in owners else ""
    conflict = (
        f"belongs to PairingToken {owners[0]}{another}"
        if owners
        else f"exists and is not owned by PairingToken {itself}"
    )
    return (
        f"Secret {meta['namespace']}/{meta['name']} already {conflict}. "
        "Delete the Secret, or create a PairingToken with a different spec.secretName."
    )


def _with_our_labels(_: Cast, body: Json) -> Json:
    return {"labels": OUR_LABELS | {"tallystick.dev/name": body["metadata"]["name"]}}


def _owned_by_another_pairing_token(cast: Cast, body: Json) -> Json:
    """The owner is real, but is not the one whose Secret this will be."""
    other = cast.ann.create(cast.site.pairing_token(f"owner-of-{body['metadata']['name']}")).must_succeed()
    return _with_our_labels(cast, body) | {"ownerReferences": [_reference(other["metadata"])]}


def _owned_in_advance(_: Cast, body: Json) -> Json:
    """The name of the owner is right; its uid cannot be known before the API server has given it."""
    guess = {"name": body["metadata"]["name"], "uid": "00000000-0000-4000-8000-000000000000"}
    return {"ownerReferences": [_reference(guess)], "finalizers": ["example.com/kept-from-the-collector"]}


def _reference(owner: Json) -> Json:
    return {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "PairingToken",
        "name": owner["name"],
        "uid": owner["uid"],
        "controller": True,
    }


@pytest.mark.parametrize(
    "forge",
    [_with_our_labels, _owned_by_another_pairing_token, _owned_in_advance],
    ids=lambda forge: forge.__name__.strip("_").replace("_", " "),
)
def test_a_secret_that_was_made_in_advance_is_not_taken_over(cast: Cast, forge: Callable[[Cast, Json], Json]) -> None:
    site, name = cast.site, forge.__name__.strip("_").replace("_", "-")
    body = site.pairing_token(name)
    secret = secret_of(body)
    planted = secret | {
        "metadata": secret["metadata"] | forge(cast, body),
        "type": "tallystick.dev/pairing-token",
        "data": {"token": "cGxhbnRlZA=="},
    }
    before = content(cast.bob.create(planted).must_succeed())

    cast.ann.create(body).must_succeed()

    token = wait_for_reason(site.api, body, "SecretConflict")
    assert condition(token, "Stalled")["message"] == _conflict(planted, token)
    assert token["status"]["state"] == "Pending"
    assert content(site.api.get(secret)) == before or _is_going(site.api.get(secret), before)
    assert [event["message"] for event in _events_of(cast, "SecretConflict", name)] == [_conflict(planted, token)]


def _is_going(secret: Json, before: Json | None) -> bool:
    """The garbage collector ends what names an owner that there is not; the finalizer holds it, unchanged."""
    alive = secret | {"metadata": {k: v for k, v in secret["metadata"].items() if k != "deletionTimestamp"}}
    return content(alive) == before


def _events_of(cast: Cast, reason: str, name: str) -> list[Json]:
    def found() -> list[Json]:
        return [event for event in cast.site.events(reason) if event["involvedObject"]["name"] == name]

    return poll(found)


def test_a_user_who_may_write_no_secret_writes_none_by_its_name_in_an_order(cast: Cast, admin: Api) -> None:
    # S22: an order is no way to overwrite or delete what its author has no right to.
    site = cast.site
    for role in ("tallystick-edit", "tallystick-usecase-mission-control"):
        grant(admin, site.namespace, "eve", role)
    eve, body = admin.as_user("eve", "system:authenticated"), site.pairing_token("greedy", secretName="precious")
    metadata = {"name": "precious", "namespace": site.namespace}
    precious = cast.ann.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"token": "cHJlY2lvdXM="}}
    ).must_succeed()

    eve.create(body).must_succeed()
    wait_for_reason(site.api, body, "SecretConflict")
    eve.merge(body, {"spec": {"revoked": True}}).must_succeed()
    wait_for_state(site.api, body, "Revoked")
    eve.delete(body).must_succeed()

    # What is issued after it shows that the controller has seen all of it.
    _issued(cast, "after-greedy")
    assert site.api.get(precious) == precious


def test_two_orders_for_one_secret_leave_it_to_the_first(cast: Cast) -> None:
    site = cast.site
    first, second = (site.pairing_token(name, secretName="contested") for name in ("first", "second"))
    cast.ann.create(first).must_succeed()
    token = _token_of(cast, first)

    cast.bob.create(second).must_succeed()
    stalled = wait_for_reason(site.api, second, "SecretConflict")
    cast.bob.merge(second, {"spec": {"revoked": True}}).must_succeed()
    wait_for_state(site.api, second, "Revoked")
    cast.bob.delete(second).must_succeed()

    _issued(cast, "after-second")
    assert condition(stalled, "Stalled")["message"] == _conflict(site.api.get(secret_of(first)), stalled)
    assert value_of(site.api.get(secret_of(first)), "token") == token
    assert site.is_active(token)


def _token_of(cast: Cast, body: Json) -> str:
    wait_for_state(cast.site.api, body, "Active")
    return value_of(cast.site.api.get(secret_of(body)), "token")
