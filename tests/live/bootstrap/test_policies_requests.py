"""The admission policies of requested pairing tokens: who marks an object, and what the controller may delete."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.install.installation import Installation
from tallystick.pairing.domain.admin_token import TRIGGER
from tallystick.pairing.domain.pairing_request import MADE_BY
from tests.harness.api import Api
from tests.harness.objects import a_pairing_token

Json = dict[str, Any]


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    return make_namespace("requests")


@pytest.fixture
def exchange(admin: Api, installed: Installation) -> Api:
    return admin.as_user(installed.service_account("exchange"))


@pytest.fixture
def controller(admin: Api, installed: Installation) -> Api:
    return admin.as_user(installed.service_account("controller"))


def marked(namespace: str, name: str, **spec: Any) -> Json:
    body = a_pairing_token(namespace, name, **spec)
    return body | {"metadata": body["metadata"] | {"annotations": {MADE_BY: "exchange"}}}


def requested(exchange: Api, namespace: str, name: str) -> Json:
    body = marked(namespace, name, requestedBy="alice")
    exchange.create(body).must_succeed()
    return body


def test_the_exchange_may_create_a_pairing_token_for_another_user_and_mark_it(exchange: Api, namespace: str) -> None:
    stored = exchange.create(marked(namespace, "made", requestedBy="alice"), dry_run=True).must_succeed()

    assert (stored["spec"]["requestedBy"], stored["metadata"]["annotations"][MADE_BY]) == ("alice", "exchange")


@pytest.mark.parametrize("value", ["exchange", "somebody"])
def test_a_user_cannot_mark_an_object(admin: Api, namespace: str, value: str) -> None:
    body = a_pairing_token(namespace, f"own-{value}")
    with_mark = body | {"metadata": body["metadata"] | {"annotations": {MADE_BY: value}}}
    admin.create(body).must_succeed()

    created = admin.create(marked(namespace, f"new-{value}"))
    edited = admin.merge(body, {"metadata": {"annotations": {MADE_BY: value}}})

    for answer in (created, edited, admin.apply(with_mark)):
        assert "only the exchange can set the annotation tallystick.dev/made-by" in answer.message


def test_a_user_may_edit_a_marked_object_and_remove_the_mark_but_not_change_it(
    admin: Api, exchange: Api, namespace: str
) -> None:
    body = requested(exchange, namespace, "edited")

    labeled = admin.merge(body, {"metadata": {"labels": {"team": "a"}}})
    changed = admin.merge(body, {"metadata": {"annotations": {MADE_BY: "me"}}})
    removed = admin.merge(body, {"metadata": {"annotations": {MADE_BY: None}}})
    again = admin.merge(body, {"metadata": {"annotations": {MADE_BY: "exchange"}}})

    assert (labeled.succeeded, changed.succeeded, removed.succeeded, again.succeeded) == (True, False, True, False)


@pytest.mark.parametrize(
    ("made_by_exchange", "state", "deleted"),
    [(True, "Expired", True), (True, "Active", False), (True, "Used", False), (False, "Expired", False)],
)
def test_the_controller_deletes_only_what_the_exchange_made_and_what_expired(
    admin: Api,
    exchange: Api,
    controller: Api,
    namespace: str,
    made_by_exchange: bool,
    state: str,
    deleted: bool,
) -> None:
    name = f"{state.lower()}-{made_by_exchange}".lower()
    body = a_pairing_token(namespace, name)
    if made_by_exchange:
        requested(exchange, namespace, name)
    else:
        admin.create(body).must_succeed()
    stored = admin.get(body) | {"status": {"state": state, "serial": 1}}
    controller.update(stored, subresource="status").must_succeed()

    answer = controller.delete(body, dry_run=True)

    assert answer.succeeded is deleted, answer.message
    assert deleted or "the controller can delete only a PairingToken that the exchange made" in answer.message


def test_the_exchange_cannot_make_a_trigger(exchange: Api, installed: Installation) -> None:
    trigger = {"kind": "ConfigMap", "metadata": {"name": TRIGGER, "namespace": installed.namespace}}

    answer = exchange.create({"apiVersion": "v1", **trigger}, dry_run=True)

    assert "the exchange may write only ConfigMaps whose name begins with" in answer.message
