"""The admission policies and the RBAC of ConnectionConfigurations, on a real API server (S2, S16)."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.install.installation import Installation
from tallystick.schema.meta import GROUP
from tests.harness.api import Api
from tests.harness.connections import set_slots, slots
from tests.harness.rule_cases import every_status_writer
from tests.live.connections.policies import build, controller, exchange, people
from tests.live.connections.rules_connection_configuration import record, recorded

__all__ = ["build", "controller", "exchange", "people"]

Json = dict[str, Any]

OURS = "tallystick-system"
CONTROLLER = f"system:serviceaccount:{OURS}:tallystick-controller"
EXCHANGE = f"system:serviceaccount:{OURS}:tallystick-exchange"
CONNECTIONS = (GROUP, "connectionconfigurations", "")
STATUS = (GROUP, "connectionconfigurations/status", "")
CONFIG_MAPS = ("", "configmaps", "")
SECRETS = ("", "secrets", "")

NOT_THE_EXCHANGE = f"only {CONTROLLER} may write the status of a ConnectionConfiguration"
NOT_OURS = f"only {CONTROLLER} and {EXCHANGE} may write the status"
PREFIXES = ("tallystick-instances-", "tallystick-instances")
ITS_OWN_ALONE = "the exchange may write only ConfigMaps whose name begins with tallystick-instances-"


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    return make_namespace("connection-policies")


# S2: who may write what is.


@every_status_writer
@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("", NOT_OURS),
        ("somebody-with-every-right", NOT_OURS),
        ("system:serviceaccount:evil:tallystick-controller", NOT_OURS),
        (EXCHANGE, NOT_THE_EXCHANGE),
    ],
    ids=["administrator", "editor", "account of that name elsewhere", "exchange"],
)
def test_a_status_is_refused_to_all_but_the_controller(
    admin: Api, build: Any, write_status: Any, user: str, text: str
) -> None:
    """RBAC lets them all, so that it is the policy which refuses; the exchange has no business with it either."""
    body = build()
    admin.create(body).must_succeed()
    writer = admin.as_user(user, "system:masters") if user else admin

    answer = write_status(writer, body, body | {"status": recorded(record("a"))})

    assert not answer.succeeded
    assert text in answer.message
    assert admin.get(body)["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("role", ["view", "edit", "introspect"])
def test_a_status_is_refused_to_people_by_rbac_already(
    admin: Api, people: dict[str, Api], build: Any, role: str
) -> None:
    body = build()
    admin.create(body).must_succeed()

    answer = people[role].merge(body, {"status": recorded(record("a"))}, subresource="status")

    assert 'cannot patch resource "connectionconfigurations/status"' in answer.message


def test_the_controller_writes_the_status_and_neither_it_nor_the_exchange_anything_else(
    admin: Api, controller: Api, exchange: Api, build: Any
) -> None:
    body = build()
    admin.create(body).must_succeed()

    written = controller.replace(body | {"status": recorded(record("a"))}, subresource="status")
    by_controller, by_exchange = (set_slots(account, body, "a", "b") for account in (controller, exchange))

    assert written.succeeded, written.message
    for refused in (by_controller, by_exchange):
        assert 'cannot patch resource "connectionconfigurations"' in refused.message


# What the exchange has heard is stored in ConfigMaps of its own, and in no other.


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": OURS}, "data": data}


def test_the_exchange_writes_config_maps_of_its_own(admin: Api, exchange: Api) -> None:
    body = config_map("tallystick-instances-replica-1", uid="{}")

    created = exchange.create(body)
    updated = exchange.replace(config_map("tallystick-instances-replica-1", uid="[]"))

    assert created.succeeded, created.message
    assert updated.succeeded, updated.message
    assert admin.get(body)["data"] == {"uid": "[]"}
    admin.delete(body).must_succeed()


@pytest.mark.parametrize("name", ["tallystick-use-cases", "tallystick-instances", "another-tallystick-instances-1"])
def test_the_exchange_writes_no_other_config_map(admin: Api, installed: Installation, name: str) -> None:
    """RBAC cannot narrow a create by name; with every right, too, the exchange is kept to its own names."""
    omnipotent = admin.as_user(installed.service_account("exchange"), "system:masters")
    body = config_map(name, settings="theirs")
    created = omnipotent.create(body)
    before = admin.create(body).must_succeed()

    refused = [
        created,
        omnipotent.replace(config_map(name, settings="mine")),
        omnipotent.merge(body, {"data": {"settings": "mine"}}),
        omnipotent.apply(config_map(name, settings="mine")),
        omnipotent.delete(body),
    ]

    assert [ITS_OWN_ALONE in answer.message for answer in refused] == [True] * len(refused)
    assert not omnipotent.delete_all("ConfigMap", OURS).succeeded
    assert admin.get(body) == before
    admin.delete(body).must_succeed()


def test_a_name_that_is_generated_for_the_exchange_is_one_of_its_own(admin: Api, exchange: Api) -> None:
    """The policy sees the name that comes of it, not only the name that was asked for."""
    own, other = (config_map("") | {"metadata": {"generateName": prefix, "namespace": OURS}} for prefix in PREFIXES)

    made, refused = exchange.create(own), exchange.create(other)

    assert made.succeeded, made.message
    assert ITS_OWN_ALONE in refused.message
    admin.delete(made.body).must_succeed()


def test_the_config_maps_of_others_are_none_of_the_policys_business(admin: Api, controller: Api) -> None:
    theirs, stored = config_map("settings-of-others", a="1"), config_map("tallystick-instances-gone", a="1")

    answers = [
        admin.create(theirs),
        admin.replace(config_map("settings-of-others", a="2")),
        admin.delete(theirs),
        admin.create(stored),
        controller.delete(stored),
    ]

    assert [answer.message for answer in answers] == [""] * len(answers)


# Least privilege, as RBAC itself answers.


@pytest.mark.parametrize(
    ("role", "what", "allowed", "refused"),
    [
        ("view", CONNECTIONS, "get list watch", "create update patch delete deletecollection introspect"),
        ("view", STATUS, "", "update patch"),
        ("view", SECRETS, "", "get list watch"),
        ("edit", CONNECTIONS, "get list watch create update patch delete", "deletecollection introspect"),
        ("edit", STATUS, "", "update patch"),
        ("edit", SECRETS, "", "get list watch"),
        ("introspect", CONNECTIONS, "introspect", "get list watch create update patch delete deletecollection"),
        ("introspect", STATUS, "", "get update patch"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
def test_a_role_for_people_gives_what_it_says_and_no_more(
    admin: Api,
    people: dict[str, Api],
    namespace: str,
    role: str,
    what: tuple[str, str, str],
    allowed: str,
    refused: str,
) -> None:
    group, resource, _ = what
    verbs = dict.fromkeys(allowed.split(), True) | dict.fromkeys(refused.split(), False)
    user = people[role].user

    here = {verb: admin.allowed(user, verb, resource, namespace=namespace, group=group) for verb in verbs}
    elsewhere = {verb: admin.allowed(user, verb, resource, namespace="default", group=group) for verb in verbs}

    assert here == verbs
    assert not any(elsewhere.values())


@pytest.mark.parametrize(
    ("account", "what", "where", "allowed", "refused"),
    [
        ("controller", CONNECTIONS, "edge", "get list watch", "create update patch delete deletecollection introspect"),
        ("controller", STATUS, "edge", "update", "get patch"),
        ("controller", CONFIG_MAPS, OURS, "get list delete", "create update patch watch deletecollection"),
        ("controller", CONFIG_MAPS, "edge", "", "get list create update patch delete"),
        ("exchange", CONNECTIONS, "edge", "get", "list watch create update patch delete introspect"),
        ("exchange", STATUS, "edge", "", "update patch"),
        ("exchange", CONFIG_MAPS, OURS, "get create update", "list watch patch delete deletecollection"),
        ("exchange", CONFIG_MAPS, "edge", "", "get list create update patch delete"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
def test_an_account_of_ours_has_only_the_rights_that_connections_need(
    admin: Api,
    installed: Installation,
    account: str,
    what: tuple[str, str, str],
    where: str,
    allowed: str,
    refused: str,
) -> None:
    group, resource, _ = what
    verbs = dict.fromkeys(allowed.split(), True) | dict.fromkeys(refused.split(), False)
    user = installed.service_account(account)

    assert {verb: admin.allowed(user, verb, resource, namespace=where, group=group) for verb in verbs} == verbs


def test_an_editor_makes_changes_and_deletes_a_configuration_and_a_viewer_only_reads(
    people: dict[str, Api], build: Any
) -> None:
    editor, viewer = people["edit"], people["view"]
    body = build("a")

    answers = [editor.create(body), set_slots(editor, body, "a", "b")]
    seen = viewer.get(body)["spec"]["tokens"]
    refused = [set_slots(viewer, body, "a"), viewer.delete(body), people["introspect"].delete(body)]
    answers.append(editor.delete(body))

    assert [answer.message for answer in answers] == [""] * 3
    assert seen == slots("a", "b")
    assert all('resource "connectionconfigurations" in API group' in answer.message for answer in refused)
