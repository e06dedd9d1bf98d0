"""Names and texts are bounded in the models that the CRDs are generated from: docs/rules.md#s23, #s28."""

from typing import Annotated

import pytest
from pydantic import StringConstraints, TypeAdapter, ValidationError

from tallystick.connections.api.connection_configuration import ConnectionConfiguration, ConnectionConfigurationSpec
from tallystick.pairing.api.master_token import MasterToken
from tallystick.pairing.api.pairing_token import PairingToken, PairingTokenSpec
from tallystick.schema.fields import Principal
from tests.live.texts import NOTES as TEXTS_OF_LINES

KINDS = (PairingToken, MasterToken, ConnectionConfiguration)
PROJECT = {"purpose": "DeviceProject", "projectKey": "fleet01"}

# Names that people read, and names that become a part of a token.
NAMES = [
    pytest.param(PairingTokenSpec, "requestedBy", id="requester of a PairingToken"),
    pytest.param(ConnectionConfigurationSpec, "displayName", id="name of a ConnectionConfiguration"),
]
NOTES = [
    pytest.param(PairingTokenSpec, "description", id="description of a PairingToken"),
    pytest.param(ConnectionConfigurationSpec, "description", id="description of a ConnectionConfiguration"),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_limits_its_name_to_63_characters(kind):
    assert "self.metadata.name.size() <= 63" in [rule.rule for rule in kind.RULES]


def test_a_requester_has_at_most_1024_characters():
    longest = PairingTokenSpec.model_validate(PROJECT | {"requestedBy": "x" * 1024})

    assert longest.requested_by == "x" * 1024
    with pytest.raises(ValidationError, match="requestedBy"):
        PairingTokenSpec.model_validate(PROJECT | {"requestedBy": "x" * 1025})


def test_a_recorded_subject_or_client_has_at_most_1024_characters():
    principal = TypeAdapter(Principal)

    assert principal.validate_python("x" * 1024) == "x" * 1024
    with pytest.raises(ValidationError, match="at most 1024 characters"):
        principal.validate_python("x" * 1025)


def allowed(model, field, text):
    """Return what the rule of a free text says. Rust and Go read its pattern alike."""
    (rule,) = (rule.rule for rule in model.RULES if rule.field_path == f".{field}" and ".matches(" in rule.rule)
    pattern = rule.split(".matches(r'")[1].removesuffix("')")
    try:
        TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)]).validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("model", "field"), [*NAMES, *NOTES])
@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\x1b", id="escape"),
        pytest.param("\r", id="carriage return"),
        pytest.param("\x7f", id="delete"),
        pytest.param("\x85", id="next line"),
        pytest.param("\u202e", id="right-to-left override"),
        pytest.param("\u2066", id="left-to-right isolate"),
        pytest.param("\ue000", id="private use"),
    ],
)
def test_a_free_text_holds_no_control_character(model, field, character):
    assert allowed(model, field, "Küche, 3. Stock 🏠")
    assert not allowed(model, field, f"one{character}two")


@pytest.mark.parametrize(("model", "field"), NOTES)
@pytest.mark.parametrize("text", TEXTS_OF_LINES)
def test_a_note_has_lines_and_is_written_in_any_script(model, field, text):
    assert allowed(model, field, text)


@pytest.mark.parametrize(("model", "field"), NAMES)
@pytest.mark.parametrize("text", ["two\nlines", "tab\tbed", "one\r\ntwo"])
def test_a_name_has_one_line(model, field, text):
    assert not allowed(model, field, text)
