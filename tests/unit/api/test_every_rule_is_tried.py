"""The live tables name every rule: a new one without a case that breaks it fails here, in the fast tests."""

from collections.abc import Sequence
from typing import Any

import pytest

from tallystick.api.connection_configuration import (
    ConnectionConfiguration,
    ConnectionConfigurationSpec,
    RotationPolicy,
)
from tallystick.api.master_token import MasterToken, MasterTokenSpec
from tallystick.api.meta import Rule
from tallystick.api.pairing_token import MasterTokenSettings, PairingToken, PairingTokenSpec
from tallystick.api.rules import NAME_FITS
from tests.live import test_rules_connection_configuration, test_rules_master_token, test_rules_pairing_token

PAIRING_RULES = [*PairingToken.RULES, *PairingTokenSpec.RULES, *MasterTokenSettings.RULES]
MASTER_RULES = [*MasterToken.RULES, *MasterTokenSpec.RULES]
CONNECTION_RULES = [*ConnectionConfiguration.RULES, *ConnectionConfigurationSpec.RULES, *RotationPolicy.RULES]


def rules(table: Any, written: Sequence[Rule]) -> list[Any]:
    return [pytest.param(table, rule.message, id=rule.message) for rule in written if rule is not NAME_FITS]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        *rules(test_rules_pairing_token, PAIRING_RULES),
        *rules(test_rules_master_token, MASTER_RULES),
        *rules(test_rules_connection_configuration, CONNECTION_RULES),
    ],
)
def test_a_case_breaks_each_rule(table: Any, message: str) -> None:
    cases = [*table.CREATE_REFUSED, *table.EDIT_REFUSED, *table.STATUS_REFUSED]

    assert any(case.text in message for case in cases)
