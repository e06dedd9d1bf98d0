"""Names and texts are bounded in the models that the CRDs are generated from: docs/rules.md#s23, #s28."""

import pytest
from pydantic import ValidationError

from tallystick.connections.api.connection_configuration import ConnectionConfiguration, ConnectionConfigurationSpec
from tallystick.pairing.api.master_token import MasterToken
from tallystick.pairing.api.pairing_token import PairingToken, PairingTokenSpec

KINDS = (PairingToken, MasterToken, ConnectionConfiguration)
PROJECT = {"purpose": "DeviceProject", "projectKey": "fleet01"}
CONNECTION = {"deploymentType": "Kubernetes"}

FREE_TEXTS = [
    pytest.param(PairingTokenSpec, PROJECT, "description", id="description of a PairingToken"),
    pytest.param(PairingTokenSpec, PROJECT, "requestedBy", id="requester of a PairingToken"),
    pytest.param(ConnectionConfigurationSpec, CONNECTION, "displayName", id="name of a ConnectionConfiguration"),
    pytest.param(ConnectionConfigurationSpec, CONNECTION, "description", id="description of a ConnectionConfiguration"),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_limits_its_name_to_63_characters(kind):
    assert "self.metadata.name.size() <= 63" in [rule.rule for rule in kind.RULES]


def test_a_requester_has_at_most_1024_characters():
    longest = PairingTokenSpec.model_validate(PROJECT | {"requestedBy": "x" * 1024})

    assert longest.requested_by == "x" * 1024
    with pytest.raises(ValidationError, match="requestedBy"):
        PairingTokenSpec.model_validate(PROJECT | {"requestedBy": "x" * 1025})


@pytest.mark.parametrize(("model", "spec", "field"), FREE_TEXTS)
@pytest.mark.parametrize(
    "character",
    [
        pytest.param("\n", id="newline"),
        pytest.param("\x1b", id="escape"),
        pytest.param("\x7f", id="delete"),
        pytest.param("\u202e", id="right-to-left override"),
        pytest.param("\ue000", id="private use"),
    ],
)
def test_a_free_text_holds_no_control_character(model, spec, field, character):
    assert model.model_validate(spec | {field: "Küche, 3. Stock 🏠"})

    with pytest.raises(ValidationError, match=field):
        model.model_validate(spec | {field: f"one{character}two"})
