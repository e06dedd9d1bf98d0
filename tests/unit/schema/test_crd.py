from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.connections.api.connection_configuration import ConnectionConfiguration
from tallystick.install.crds import crd_files, write_crds
from tallystick.pairing.api.master_token import MasterToken
from tallystick.pairing.api.pairing_token import PairingToken
from tallystick.registry import KINDS
from tallystick.schema.crd import crd

Json = dict[str, Any]

COMMITTED = Path(__file__).parents[3] / "crds"


def schema_of(kind: Any) -> Json:
    schema: Json = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Walk every node of a schema that people can write to, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        if (path, name) != ("", "metadata"):
            yield from nodes(child, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from nodes(schema[name], f"{path}[]")


MODELS = [kind.model for kind in KINDS]
every_kind = pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)


def test_the_committed_crds_are_current() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in COMMITTED.glob("*.yaml")}

    assert committed == crd_files(KINDS), "the models have changed: run `make crds`"


def test_writing_the_crds_gives_the_files_that_are_committed(tmp_path: Path) -> None:
    written = write_crds(KINDS, tmp_path / "crds")

    assert {path.name: path.read_text(encoding="utf-8") for path in written} == crd_files(KINDS)


@every_kind
def test_everything_that_can_be_written_is_bounded(kind: Any) -> None:
    unbounded = [(path, node.get("type")) for path, node in nodes(schema_of(kind)) if not is_bounded(node)]

    assert not unbounded, unbounded


def is_bounded(node: Json) -> bool:
    match node.get("type", "integer or string" if node.get("x-kubernetes-int-or-string") else ""):
        case "integer or string":
            return {"maxLength", "minimum", "maximum"} <= node.keys()
        case "string":
            return "maxLength" in node or "enum" in node or node.get("format") == "date-time"
        case "array":
            return "maxItems" in node
        case "integer":
            return "enum" in node or ("minimum" in node and ("maximum" in node or node["format"] in {"int32", "int64"}))
        case "object":
            return "additionalProperties" not in node or "maxProperties" in node
        case other:
            return bool(other == "boolean")


@every_kind
def test_the_schema_is_structural(kind: Any) -> None:
    banned = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "nullable"}
    found = {path: sorted(banned & node.keys()) for path, node in nodes(schema_of(kind)) if banned & node.keys()}
    null_by_default = [path for path, node in nodes(schema_of(kind)) if node.get("default", "given") is None]

    assert not found, found
    assert not null_by_default, null_by_default


@every_kind
def test_every_field_is_described(kind: Any) -> None:
    undescribed = [
        path for path, node in nodes(schema_of(kind)) if not path.endswith("[]") and "description" not in node
    ]

    assert undescribed == []


@every_kind
def test_every_rule_has_a_text_of_its_own(kind: Any) -> None:
    texts = [rule["message"] for _, node in nodes(schema_of(kind)) for rule in node.get("x-kubernetes-validations", [])]

    # R31 is kept by two rules, one for what was asked for before and one for what is Active; they refuse the same.
    again = [text for text in set(texts) if texts.count(text) > 1 and not text.startswith("cannot revoke the only")]
    assert texts
    assert again == []


@every_kind
def test_a_new_object_is_never_taken_for_current(kind: Any) -> None:
    """kstatus compares `observedGeneration` with the generation, which begins at 1."""
    assert schema_of(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}


@every_kind
def test_conditions_are_merged_by_type_and_other_lists_belong_to_their_writer(kind: Any) -> None:
    lists = {path: node for path, node in nodes(schema_of(kind)) if node.get("type") == "array"}

    conditions = lists.pop(".status.conditions")

    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert all(node["x-kubernetes-list-type"] == "atomic" for node in lists.values())


@every_kind
def test_no_column_shows_a_time_to_come_as_invalid(kind: Any) -> None:
    """kubectl prints a future time of type date as <invalid>."""
    dates = [column.name for column in kind.COLUMNS if column.type == "date"]

    assert dates[-1] == "Age"
    assert set(dates) <= {"Age", "Last Seen"}, "a column of type date shows a time that has passed"


def test_pairing_tokens_are_found_by_use_case_purpose_state_and_token_id() -> None:
    version = crd(PairingToken)["spec"]["versions"][0]

    assert [field["jsonPath"] for field in version["selectableFields"]] == [
        ".spec.useCase",
        ".spec.purpose",
        ".status.state",
        ".status.tokenID",
    ]


def test_names_and_category_are_those_that_people_type() -> None:
    names = [crd(kind)["spec"]["names"] for kind in (PairingToken, MasterToken, ConnectionConfiguration)]

    assert [(name["plural"], name["shortNames"], name["categories"]) for name in names] == [
        ("pairingtokens", ["ptok"], ["tally"]),
        ("mastertokens", ["mtok"], ["tally"]),
        ("connectionconfigurations", ["cconf"], ["tally"]),
    ]
