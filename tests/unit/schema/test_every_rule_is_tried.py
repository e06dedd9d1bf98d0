"""The live tables name every rule: a new one without a case that breaks it fails here, in the fast tests."""

from collections.abc import Sequence
from typing import Any

import pytest

from tallystick.connections.api.connection_configuration import (
    ConnectionConfiguration,
    ConnectionConfigurationSpec,
    RotationPolicy,
)
from tallystick.pairing.api.master_token import MasterToken, MasterTokenSpec
from tallystick.pairing.api.pairing_token import MasterTokenSettings, PairingToken, PairingTokenSpec
from tallystick.schema.cel import NAME_FITS
from tallystick.schema.meta import Rule
from tests.live.connections import (
    test_rules_connection_configuration_create,
    test_rules_connection_configuration_edit,
    test_rules_connection_configuration_status,
)
from tests.live.pairing import (
    test_rules_master_token,
    test_rules_pairing_token_create,
    test_rules_pairing_token_edit,
    test_rules_pairing_token_status,
)

PAIRING_RULES = [*PairingToken.RULES, *PairingTokenSpec.RULES, *MasterTokenSettings.RULES]
MASTER_RULES = [*MasterToken.RULES, *MasterTokenSpec.RULES]
CONNECTION_RULES = [*ConnectionConfiguration.RULES, *ConnectionConfigurationSpec.RULES, *RotationPolicy.RULES]

PAIRING_CASES = [
    *test_rules_pairing_token_create.CREATE_REFUSED,
    *test_rules_pairing_token_edit.EDIT_REFUSED,
    *test_rules_pairing_token_status.STATUS_REFUSED,
]
MASTER_CASES = [
    *test_rules_master_token.CREATE_REFUSED,
    *test_rules_master_token.EDIT_REFUSED,
    *test_rules_master_token.STATUS_REFUSED,
]
CONNECTION_CASES = [
    *test_rules_connection_configuration_create.CREATE_REFUSED,
    *test_rules_connection_configuration_edit.EDIT_REFUSED,
    *test_rules_connection_configuration_status.STATUS_REFUSED,
]


def rules(cases: list[Any], written: Sequence[Rule]) -> list[Any]:
    return [pytest.param(cases, rule.message, id=rule.message) for rule in written if rule is not NAME_FITS]


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        *rules(PAIRING_CASES, PAIRING_RULES),
        *rules(MASTER_CASES, MASTER_RULES),
        *rules(CONNECTION_CASES, CONNECTION_RULES),
    ],
)
def test_a_case_breaks_each_rule(cases: list[Any], message: str) -> None:
    assert any(case.text in message for case in cases)
