"""What the tables of PairingToken's rules share: specs, and a status."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.pairing.api.pairing_token import PairingToken
from tests.harness.rule_cases import objects_of
from tests.harness.rule_shapes import schema_of

Json = dict[str, Any]

SPEC_SCHEMA = schema_of(PairingToken, "spec")
STATUS_SCHEMA = schema_of(PairingToken, "status")

SERVICE = {"purpose": "Service", "useCase": "mission-control"}
DEVICES = {"purpose": "DeviceProject", "projectKey": "fleet01"}
URL = "https://trust.example.com"
REVOKED = {"state": "Revoked", "serial": 1, "revokedThrough": 1}


@pytest.fixture(scope="module")
def token(make_namespace: Callable[[str], str]) -> Callable[[Json], Json]:
    """Builds objects from specs. A test file imports this, and has it in its `__all__`."""
    return objects_of("PairingToken", make_namespace("pairing-rules"))
