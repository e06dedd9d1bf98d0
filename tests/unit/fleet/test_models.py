"""The models of a fleet become CRDs as those of the registered kinds do. The registry does not have them yet."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tallystick.fleet.api import reasons
from tallystick.fleet.api.device import Device
from tallystick.fleet.api.fields import NumberOrPercent, SomeOrPercent
from tallystick.fleet.api.strategy import Batch, Strategy
from tallystick.fleet.api.token_rotation import TokenRotation, TokenRotationSpec
from tallystick.pairing.api.device_project import FINISHED, RotationState
from tallystick.pairing.api.pairing_token import PairingToken, PairingTokenSpec, PairingTokenStatus
from tallystick.schema.crd import crd
from tallystick.schema.meta import Column
from tests.unit.prose import Text, problems
from tests.unit.schema.test_crd import is_bounded, nodes, schema_of
from tests.unit.test_columns import GAP, NAMESPACE, SCREEN
from tests.unit.test_docs import nodes as members
from tests.unit.test_prose import fields
from tests.unit.test_reasons import test_every_reason_is_documented_below_it as reasons_must_be_documented

Json = dict[str, Any]

KINDS = (Device, TokenRotation)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def typed(schema: Json) -> list[tuple[str, Json]]:
    """Return the nodes with a type. A number or a percentage has none."""
    return [(path, node) for path, node in nodes(schema) if "type" in node]


@every_kind
def test_all_that_can_be_written_is_bounded(kind: Any) -> None:
    schema = schema_of(kind)
    others = [node for _, node in nodes(schema) if "type" not in node]

    assert [path for path, node in typed(schema) if not is_bounded(node)] == []
    assert all(node["x-kubernetes-int-or-string"] for node in others)
    assert all({"minimum", "maximum", "maxLength", "pattern"} <= node.keys() for node in others)


@every_kind
def test_the_schema_is_structural(kind: Any) -> None:
    banned = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "nullable"}

    assert {path: found for path, node in nodes(schema_of(kind)) if (found := banned & node.keys())} == {}


@every_kind
def test_each_field_is_described_by_a_text_that_begins_with_its_name(kind: Any) -> None:
    schema = schema_of(kind)["properties"]
    found = [field for part in ("spec", "status") for field in fields(schema[part])]

    assert len(found) > 30
    assert [name for name, field in found if not field.get("description", "").startswith(f"{name} ")] == []


@every_kind
def test_the_texts_are_plain_english(kind: Any) -> None:
    texts = [
        Text(kind.__name__, node[member])
        for node in members(crd(kind))
        for member in ("description", "message")
        if isinstance(node.get(member), str)
    ]

    assert len(texts) > 40
    assert problems(texts) == []


@every_kind
def test_each_rule_has_a_text_of_its_own(kind: Any) -> None:
    texts = [rule["message"] for _, node in nodes(schema_of(kind)) for rule in node.get("x-kubernetes-validations", [])]

    assert len(texts) == len(set(texts)) > 4


def test_a_new_object_is_never_taken_for_current() -> None:
    assert [schema_of(kind)["properties"]["status"]["default"] for kind in KINDS] == [{"observedGeneration": -1}] * 2


# A row of `kubectl get -A`, with the widest value of each column.
WIDEST = {
    "Device": {"NAME": "d-" + "a" * 26, "Name": "press-line-7-cam", "State": "Revoked", "Last Seen": "3h15m"},
    "TokenRotation": {"NAME": "press-line-7-2026-11", "State": "Succeeded", "Batch": "21/21", "Total": "100000"},
}


@every_kind
def test_a_row_of_kubectl_get_in_all_namespaces_fits_on_a_screen(kind: Any) -> None:
    columns: list[Column] = [column for column in kind.COLUMNS if column.priority == 0]
    values = WIDEST[kind.__name__]
    widths = [max(len(column.name), len(values.get(column.name, "364d"))) for column in columns]

    assert sum([len(NAMESPACE), len(values["NAME"]), *widths]) + GAP * (len(widths) + 1) <= SCREEN


def test_a_row_of_a_device_project_fits_on_a_screen() -> None:
    columns = [column for column in PairingToken.COLUMNS if column.priority == 0]
    values = {"State": "Active", "Devices": "100000", "Rotation": "99000/500/480/20", "Reason": "Issued", "Age": "364d"}
    widths = [max(len(column.name), len(values.get(column.name, ""))) for column in columns]

    assert sum([len(NAMESPACE), len("press-line-7-to-site"), *widths]) + GAP * (len(widths) + 1) <= SCREEN


def test_names_and_category_are_those_that_people_type() -> None:
    names = [crd(kind)["spec"]["names"] for kind in KINDS]

    assert [(name["plural"], name["shortNames"], name["categories"]) for name in names] == [
        ("devices", ["dev"], ["tally"]),
        ("tokenrotations", ["trot"], ["tally"]),
    ]


def test_devices_and_rotations_are_found_by_their_token_and_state() -> None:
    selectors = [
        [field["jsonPath"] for field in crd(kind)["spec"]["versions"][0]["selectableFields"]] for kind in KINDS
    ]

    assert selectors == [
        [".spec.pairingTokenRef.name", ".status.generation", ".status.state"],
        [".spec.targetRef.name", ".status.state"],
    ]


def test_each_reason_is_documented_below_it() -> None:
    reasons_must_be_documented(reasons)


def test_a_rotation_has_a_safe_pace_by_default() -> None:
    spec = TokenRotationSpec.model_validate({"targetRef": {"kind": "PairingToken", "name": "cams"}})

    assert spec.to_json() == {
        "targetRef": {"kind": "PairingToken", "name": "cams"},
        "reason": "Routine",
        "oldToken": "RevokeWhenProved",
        "desiredState": "Running",
        "strategy": {
            "batches": [],
            "successThreshold": "90%",
            "minSuccessTime": "0s",
            "maxFailures": "10%",
            "inProgressTimeout": "5m",
            "windows": [],
        },
    }


@pytest.mark.parametrize("value", [0, 1, 1_000_000, "0%", "9%", "10%", "100%"])
def test_a_number_or_a_percentage_keeps_its_type(value: object) -> None:
    assert Strategy.model_validate({"maxFailures": value}).to_json()["maxFailures"] == value


@pytest.mark.parametrize("value", [-1, 1_000_001, "101%", "5", "%", "1.5%", "010%", True, 1.5])
def test_any_other_value_is_no_number_and_no_percentage(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(NumberOrPercent).validate_python(value)


@pytest.mark.parametrize("value", [0, "0%"])
def test_a_limit_is_at_least_one(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SomeOrPercent).validate_python(value)
    with pytest.raises(ValidationError):
        Batch.model_validate({"name": "canary", "limit": value})


def test_a_device_that_has_never_checked_in_is_read() -> None:
    spec = {"pairingTokenRef": {"name": "cams", "uid": "u"}, "serial": 1, "generation": 1, "kid": "k"}
    device = Device.model_validate({"metadata": {"name": "d"}, "spec": spec | {"projectKey": "fleet01"}})

    assert (device.status.generation, device.status.offer, device.spec.generation) == (None, None, 1)


def test_a_token_of_purpose_service_has_none_of_the_fields_of_a_device_project() -> None:
    """A default of the schema would also be set on such a token, where the field is not allowed."""
    spec = schema_of(PairingToken)["properties"]["spec"]["properties"]
    names = ("maxDevices", "enrolment", "proofOfPossession", "checkInPeriod", "deviceLabels")

    assert [name for name in names if "default" in spec[name]] == []
    service = PairingTokenSpec.model_validate({"purpose": "Service", "useCase": "mission-control"})
    assert {name for name in service.to_json() if name in names} == set()
    assert PairingTokenStatus().to_json().keys() == {"observedGeneration", "conditions"}


def test_a_rotation_ends_in_three_states() -> None:
    assert set(FINISHED) < set(RotationState)
    assert [str(state) for state in FINISHED] == ["Succeeded", "Failed", "Aborted"]
