"""A value of the wrong type is refused in words that name its field, never in the words of a policy's own code.

Every field of every kind gets every wrong type, in a create and in an edit. Policies are evaluated beside the schema,
and the mutation even before it. In the gate, an edit gives each field one value in three: the next field gets others.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tallystick.connections.api.connection_configuration import ConnectionConfiguration
from tallystick.fleet.api.device import Device, DeviceSpec
from tallystick.fleet.api.token_rotation import TokenRotation
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.pairing.api.master_token import MasterToken, MasterTokenSpec
from tallystick.pairing.api.pairing_token import PairingToken
from tallystick.schema.meta import API_VERSION
from tests.harness.api import Answer, Api
from tests.harness.objects import MASTER
from tests.harness.rule_cases import with_every_right
from tests.harness.rule_shapes import schema_of

Json = dict[str, Any]

VALUES: list[Any] = [None, 1, 2.0, 2.5, -1, True, "2", "", [], ["2"], {}, {"a": 1}]
# What CEL, its compiler and the merge of typed objects say of themselves.
MACHINERY = (
    "no such",
    "overload",
    "object.spec",
    "oldObject",
    "request.userInfo",
    "variables",
    "resulted in error",
    "failed to convert",
    "&value",
    "JSONPatch",
)
# The texts of kinds whose other fields never change.
UNCHANGED = (MasterTokenSpec.RULES[0].message, DeviceSpec.RULES[0].message)
SPECS: dict[Any, Json] = {
    PairingToken: {"purpose": "Service", "useCase": "mission-control"},
    ConnectionConfiguration: {"deploymentType": "Kubernetes"},
    MasterToken: MASTER,
    Device: {
        "projectKey": "fleet01",
        "pairingTokenRef": {"name": "cams", "uid": "9a0c1f0e-0000-4000-8000-000000000000"},
        "serial": 1,
        "generation": 1,
        "kid": "k-1",
    },
    TokenRotation: {"targetRef": {"kind": "PairingToken", "name": "cams"}},
}
every_kind = pytest.mark.parametrize("kind", SPECS, ids=lambda kind: kind.__name__)


def _of_each_kind(edited: int) -> list[Any]:
    return [pytest.param(kind, edited, id=kind.__name__) for kind in SPECS]


# One value in how many a field is given in an edit.
of_values = pytest.mark.variants("kind, edited", gate=_of_each_kind(3), soak=_of_each_kind(1))


@pytest.fixture
def writer(admin: Api, installed: Installation, kind: Any) -> Api:
    """The name that may write the kind and its status, with every right: no answer comes from RBAC."""
    return with_every_right(admin, installed, EXCHANGE if kind is Device else CONTROLLER)


@pytest.fixture(scope="module")
def build(make_namespace: Callable[[str], str]) -> Callable[..., Json]:
    namespace = make_namespace("wrong-types")

    def make(kind: Any, name: str, **parts: Any) -> Json:
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": API_VERSION, "kind": kind.__name__, "metadata": metadata, **parts}

    return make


def wrong(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield each field with each value, as the members of the object that has the field."""
    for name, field in schema.get("properties", {}).items():
        yield from ((f"{path}{name}", {name: value}) for value in VALUES)
        yield from ((where, {name: inner}) for where, inner in wrong(field, f"{path}{name}."))
        items = field.get("items", {})
        yield from ((f"{path}{name}[0]", {name: [value]}) for value in VALUES)
        yield from ((where, {name: [inner]}) for where, inner in wrong(items, f"{path}{name}[0]."))


def one_in(number: int, tried: list[tuple[str, Json]]) -> list[tuple[str, Json]]:
    """Choose one value in so many of each field. The first one differs from field to field."""
    of_fields: dict[str, list[tuple[str, Json]]] = {}
    for field, value in tried:
        of_fields.setdefault(field, []).append((field, value))
    return [pair for turn, pairs in enumerate(of_fields.values()) for pair in pairs[turn % number :: number]]


def faults(part: str, field: str, value: Json, answer: Answer) -> list[str]:
    """Say what is wrong with an answer: it shows machinery, or it does not name the field."""
    text = answer.message.replace("\n", " ")
    # A value of the right type is refused for other reasons: a member of its field is missing, or none may change.
    named = answer.succeeded or re.split(r"[.[]", field)[0] in text or any(said in text for said in UNCHANGED)
    shown = [word for word in MACHINERY if word in text]
    return [f"{part}.{field} {json.dumps(value)}: {text}"] if shown or not named else []


@of_values
def test_a_wrong_type_in_a_spec_is_refused_by_its_field(writer: Api, build: Any, kind: Any, edited: int) -> None:
    live = build(kind, "live", spec=SPECS[kind])
    writer.create(live).must_succeed()
    tried = list(wrong(schema_of(kind, "spec")))

    found = []
    for field, value in tried:
        created = writer.create(build(kind, "new", spec=SPECS[kind] | value), dry_run=True)
        found += faults("spec", field, value, created)
    for field, value in one_in(edited, tried):
        found += faults("spec", field, value, writer.merge(live, {"spec": value}, dry_run=True))

    assert len(tried) > 100
    assert found == []


@of_values
def test_a_wrong_type_in_a_status_is_refused_by_its_field(writer: Api, build: Any, kind: Any, edited: int) -> None:
    live = build(kind, "reported", spec=SPECS[kind])
    writer.create(live).must_succeed()
    tried = list(wrong(schema_of(kind, "status")))

    found = []
    for field, value in one_in(edited, tried):
        found += faults(
            "status", field, value, writer.merge(live, {"status": value}, subresource="status", dry_run=True)
        )

    assert found == []


@every_kind
def test_a_wrong_or_missing_spec_is_refused_as_the_spec(writer: Api, build: Any, kind: Any) -> None:
    live = build(kind, "whole", spec=SPECS[kind])
    writer.create(live).must_succeed()
    missing = live | {"spec": None}
    del missing["spec"]

    answers = {"missing": [writer.create({**missing, "metadata": {**live["metadata"], "name": "new"}})]}
    answers["missing"] += [writer.replace(missing)]
    for value in VALUES:
        answers[repr(value)] = [
            writer.create(build(kind, "new", spec=value)),
            writer.replace(live | {"spec": value}),
            writer.merge(live, {"spec": value}, dry_run=True),
        ]

    refused = [(value, answer.message) for value, said in answers.items() for answer in said if not answer.succeeded]
    assert [(value, text) for value, text in refused if any(word in text for word in MACHINERY)] == []
    assert [(value, text) for value, text in refused if "spec" not in text] == []
    assert len(refused) >= len(VALUES)


@every_kind
def test_kubectl_and_server_side_apply_name_the_field(writer: Api, build: Any, kind: Any) -> None:
    """Server-side apply has words of its own for a wrong type, which come before any policy."""
    field = next(iter(SPECS[kind]))
    body = build(kind, "applied", spec=SPECS[kind] | {field: 5})

    answers = [writer.kubectl_apply(body), writer.apply(body)]

    assert [answer.succeeded for answer in answers] == [False, False]
    assert all(f"spec.{field}" in answer.message and "policy" not in answer.message for answer in answers)
