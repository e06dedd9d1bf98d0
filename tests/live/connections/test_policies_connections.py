"""The admission policies and the RBAC of ConnectionConfigurations, on a real API server (S2, S16, R23)."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.install.installation import Installation
from tallystick.schema.meta import GROUP
from tests.harness.api import Api
from tests.harness.connections import a_connection, set_slots, slots
from tests.harness.grants import grant
from tests.harness.rule_cases import every_status_writer
from tests.live.connections.rules_connection_configuration import record, recorded

Json = dict[str, Any]

OURS = "tallystick-system"
CONTROLLER = f"system:serviceaccount:{OURS}:controller"
EXCHANGE = f"system:serviceaccount:{OURS}:exchange"
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


@pytest.fixture(scope="module")
def build(namespace: str) -> Callable[..., Json]:
    """Build ConnectionConfigurations of names that nobody uses yet."""
    numbers = itertools.count(1)
    return lambda *names: a_connection(namespace, f"connection-{next(numbers)}", tokens=slots(*(names or ("a",))))


@pytest.fixture(scope="module")
def controller(admin: Api, installed: Installation) -> Api:
    """The controller with no more rights than it is given."""
    return admin.as_user(installed.service_account("controller"))


@pytest.fixture(scope="module")
def exchange(admin: Api, installed: Installation) -> Api:
    """The exchange with no more rights than it is given."""
    return admin.as_user(installed.service_account("exchange"))


@pytest.fixture(scope="module")
def people(admin: Api, namespace: str) -> dict[str, Api]:
    """One person for each of the ClusterRoles that an installation ships, by the role's name."""
    for role in ("view", "edit", "introspect"):
        grant(admin, namespace, f"connection-{role}", f"tallystick-{role}")
    return {role: admin.as_user(f"connection-{role}") for role in ("view", "edit", "introspect")}


# S2: who may write what is.


@every_status_writer
@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("", NOT_OURS),
        ("somebody-with-every-right", NOT_OURS),
        ("system:serviceaccount:evil:controller", NOT_OURS),
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


# R23: revoking a token that is in use is allowed, and says whom it cuts off.


def warnings(api: Api, *arguments: str) -> list[str]:
    """Run a kubectl command that must succeed, and return what it warns of."""
    done = api._run_kubectl(arguments, None)
    assert done.returncode == 0, done.stderr
    lines = [line.removeprefix("Warning: ") for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    prefix = "Validation failed for ValidatingAdmissionPolicy 'cut-off."
    assert all(line.startswith(prefix) for line in lines), lines
    return [line.split("': ", 1)[1] for line in lines]


def edited(api: Api, body: Json, patch: str, *flags: str) -> list[str]:
    meta = body["metadata"]
    return warnings(
        api, "patch", "cconf", meta["name"], "-n", meta["namespace"], "--type=merge", f"--patch={patch}", *flags
    )


def deleted(api: Api, body: Json, *flags: str) -> list[str]:
    meta = body["metadata"]
    return warnings(api, "delete", "cconf", meta["name"], "-n", meta["namespace"], *flags)


def in_use(admin: Api, controller: Api, body: Json, *tokens: Json) -> None:
    """Create the object, with these tokens on record."""
    admin.create(body).must_succeed()
    controller.replace(body | {"status": recorded(*tokens)}, subresource="status").must_succeed()


@pytest.mark.parametrize(("instances", "counted"), [(1, "1 instance"), (2, "2 instances"), (2000, "2000 instances")])
def test_a_user_who_removes_a_slot_in_use_is_warned_of_how_many_it_cuts_off(
    admin: Api, controller: Api, people: dict[str, Api], build: Any, instances: int, counted: str
) -> None:
    body = build("a", "b")
    in_use(admin, controller, body, record("b", 2, instances=7), record("a", 1, instances=instances))
    text = [f"revoking the token of slot a cuts off {counted} that last used it"]
    patch = '{"spec": {"tokens": [{"name": "b"}]}}'

    asked = edited(people["edit"], body, patch, "--dry-run=server")
    done = edited(people["edit"], body, patch)

    assert (asked, done) == (text, text)
    assert admin.get(body)["spec"]["tokens"] == slots("b")


def with_end(end: str | None) -> str:
    return json.dumps({"spec": {"licenseExpiresAt": end}})


def ends(end: str, counted: str) -> str:
    return (
        f"the end of the license at {end} cuts off {counted} that last used a token. "
        "If this time has passed, it cuts them off at once"
    )


def test_an_end_that_is_set_or_moved_earlier_says_when_and_how_many_it_cuts_off(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    """The end of all tokens is as much of a cut as the end of one."""
    body = build("a", "b")
    in_use(admin, controller, body, record("b", 2, instances=2), record("a", 1, instances=1))
    edits = ["2032-01-01T12:00:00Z", "2031-01-01T12:00:00.000Z", "2030-06-01T14:00:00+02:00", "2029-01-01T12:00:00Z"]

    said = [edited(people["edit"], body, with_end(end)) for end in edits]

    assert said == [[ends(end, "3 instances")] for end in edits]


def test_an_end_that_is_moved_later_or_stays_or_cuts_no_instance_off_gives_no_warning(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    body, unused = build("a"), build("a")
    in_use(admin, controller, body, record("a", instances=1))
    in_use(admin, controller, unused, record("b", 2, "Revoked", instances=5), record("a"))
    first = edited(people["edit"], body, with_end("2031-01-01T12:00:00Z"))
    known = recorded(record("a", instances=1, notAfter="2031-01-01T12:00:00Z"))
    controller.replace(body | {"status": known}, subresource="status").must_succeed()

    later = [
        edited(people["edit"], body, with_end(end)) for end in ("2031-01-01T14:00:00+02:00", "2032-01-01T12:00:00Z")
    ]
    edit_of_unused = edited(people["edit"], unused, with_end("2031-01-01T12:00:00Z"))

    assert first == [ends("2031-01-01T12:00:00Z", "1 instance")]
    assert [*later, edit_of_unused] == [[], [], []]


def test_an_end_and_a_removed_slot_in_one_edit_are_both_said_of_those_whom_they_cut_off(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    body = build("a", "b")
    in_use(admin, controller, body, record("b", 2, instances=2), record("a", 1, instances=7))
    patch = '{"spec": {"tokens": [{"name": "b"}], "licenseExpiresAt": "2031-01-01T12:00:00Z"}}'

    said = edited(people["edit"], body, patch)

    removed = "revoking the token of slot a cuts off 7 instances that last used it"
    assert sorted(said) == sorted([removed, ends("2031-01-01T12:00:00Z", "2 instances")])


def test_a_typo_in_an_end_is_refused_with_both_times(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    body = build("a")
    in_use(admin, controller, body, record("a", instances=3))

    refused = people["edit"].merge(body, {"spec": {"licenseExpiresAt": "2020-01-01T00:00:00Z"}})

    assert refused.message.endswith(
        "licenseExpiresAt 2020-01-01T00:00:00Z must not be before the newest token was issued at "
        "2029-01-01T12:00:00Z; to revoke all tokens at once, set the current time"
    )
    assert "licenseExpiresAt" not in admin.get(body)["spec"]


def test_a_user_who_deletes_an_object_is_warned_of_each_slot_in_use(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    body = build("a", "b")
    in_use(admin, controller, body, record("b", 2, instances=1), record("a", 1, instances=30))

    (said,) = deleted(people["edit"], body)

    assert said == (
        "revoking the token of slot b cuts off 1 instance that last used it; "
        "revoking the token of slot a cuts off 30 instances that last used it"
    )
    assert admin.find(body) is None


def test_an_edit_that_cuts_off_no_instance_gets_no_warning(
    admin: Api, controller: Api, people: dict[str, Api], build: Any
) -> None:
    """Neither a slot that nobody uses, nor one that stays, nor a token that was revoked before."""
    body = build("a", "b")
    in_use(admin, controller, body, record("c", 3, "Revoked", instances=9), record("b", 2), record("a", 1, instances=5))
    unused = build("a")
    in_use(admin, controller, unused, record("b", 2, "Revoked", instances=3), record("a"))

    assert edited(people["edit"], body, '{"spec": {"description": "cameras"}}') == []
    assert edited(people["edit"], body, '{"spec": {"tokens": [{"name": "a"}]}}') == []
    assert deleted(people["edit"], unused) == []
    assert admin.find(unused) is None


def test_an_object_without_a_status_is_edited_and_deleted_in_silence(
    admin: Api, people: dict[str, Api], build: Any
) -> None:
    body = build("a", "b")
    admin.create(body).must_succeed()

    assert edited(people["edit"], body, '{"spec": {"tokens": [{"name": "b"}]}}') == []
    assert deleted(people["edit"], body) == []


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
        ("controller", STATUS, "edge", "get update", "patch"),
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
