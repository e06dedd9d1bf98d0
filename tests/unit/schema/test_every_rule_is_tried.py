"""The live tables try every rule, and every shape of an edit by every verb.

A new rule without a case that breaks it fails here, in the fast tests.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from tallystick.clusterkeys.api.join_key import JoinKey, JoinKeySpec
from tallystick.clusterkeys.api.master_key import MasterKey, MasterKeySpec
from tallystick.connections.api.connection_configuration import (
    ConnectionConfiguration,
    ConnectionConfigurationSpec,
    RotationPolicy,
)
from tallystick.fleet.api.device import Device, DeviceSpec
from tallystick.fleet.api.strategy import Batch, Strategy, Window
from tallystick.fleet.api.token_rotation import DeviceCounts, TokenRotation, TokenRotationSpec
from tallystick.pairing.api.master_token import MasterToken, MasterTokenSpec
from tallystick.pairing.api.pairing_token import MasterTokenSettings, PairingToken, PairingTokenSpec
from tallystick.schema.cel import NAME_FITS
from tallystick.schema.meta import Rule
from tests.harness.rule_shapes import NO_CHANGE, schema_of, shapes
from tests.harness.writers import CREATE, REPLACE, STATUS_REPLACE, WRITERS
from tests.live.connections import (
    test_rules_connection_configuration_create,
    test_rules_connection_configuration_edit,
    test_rules_connection_configuration_status,
)
from tests.live.pairing import (
    test_rules_device_project,
    test_rules_master_token,
    test_rules_pairing_token_create,
    test_rules_pairing_token_edit,
    test_rules_pairing_token_status,
)
from tests.live.platform import test_rules_of_kinds, test_two_releases

OF_EVERY_KIND = {NO_CHANGE, "scalar set", "scalar unset", "scalar changed", "member changed"}


@dataclass(frozen=True, slots=True)
class Tables:
    """The rules of a kind, the files whose tests break them, and the shapes of the edits in `edits`."""

    kind: Any
    rules: Sequence[Rule]
    creates: ModuleType
    edits: ModuleType
    statuses: ModuleType
    shapes_of_edits: set[str]
    further: tuple[ModuleType, ...] = ()

    def variants(self, run: str) -> Iterator[list[tuple[Any, Any]]]:
        """Return for each test its cases, each with its verb, in the run `gate` or `soak`."""
        for file in {self.creates, self.edits, self.statuses, *self.further}:
            yield from variants(file, run, self.kind)


def variants(file: ModuleType, run: str, kind: Any) -> Iterator[list[tuple[Any, Any]]]:
    tests = [value for name, value in vars(file).items() if name.startswith("test_")]
    marks = [mark for test in tests for mark in getattr(test, "pytestmark", []) if mark.name == "variants"]
    for mark in marks:
        found = [param.values for param in mark.kwargs[run]]
        of_several_kinds = mark.args[0].startswith("table, ")
        yield [values[1:] for values in found if values[0].model is kind] if of_several_kinds else found


TABLES = [
    Tables(
        PairingToken,
        [*PairingToken.RULES, *PairingTokenSpec.RULES, *MasterTokenSettings.RULES],
        test_rules_pairing_token_create,
        test_rules_pairing_token_edit,
        test_rules_pairing_token_status,
        OF_EVERY_KIND
        | {"scalar unset, default back", "object set", "object unset, default back"}
        | {"member set", "member unset", "member unset, default back"},
        further=(test_two_releases, test_rules_device_project),
    ),
    Tables(
        MasterToken,
        [*MasterToken.RULES, *MasterTokenSpec.RULES],
        test_rules_master_token,
        test_rules_master_token,
        test_rules_master_token,
        OF_EVERY_KIND
        | {"scalar unset, default back", "object unset"}
        | {"item added", "item removed", "items changed", "items reordered", "list emptied"},
    ),
    Tables(
        ConnectionConfiguration,
        [*ConnectionConfiguration.RULES, *ConnectionConfigurationSpec.RULES, *RotationPolicy.RULES],
        test_rules_connection_configuration_create,
        test_rules_connection_configuration_edit,
        test_rules_connection_configuration_status,
        OF_EVERY_KIND
        | {"object set", "object unset", "object unset, default back"}
        | {"member set", "member unset, default back"}
        | {"item added", "item removed", "items changed", "items reordered"}
        | {"list set", "list unset, default back", "list emptied", "text beyond ASCII"},
    ),
    Tables(
        MasterKey,
        [*MasterKey.RULES, *MasterKeySpec.RULES],
        test_rules_of_kinds,
        test_rules_of_kinds,
        test_rules_of_kinds,
        OF_EVERY_KIND | {"scalar unset, default back", "object set", "object unset", "member set"},
    ),
    Tables(
        JoinKey,
        [*JoinKey.RULES, *JoinKeySpec.RULES],
        test_rules_of_kinds,
        test_rules_of_kinds,
        test_rules_of_kinds,
        OF_EVERY_KIND
        | {"scalar unset, default back", "object set", "object unset", "member set"}
        | {"item added", "item removed", "list set", "list unset"},
    ),
    Tables(
        Device,
        [*Device.RULES, *DeviceSpec.RULES],
        test_rules_of_kinds,
        test_rules_of_kinds,
        test_rules_of_kinds,
        OF_EVERY_KIND | {"scalar unset, default back"},
    ),
    Tables(
        TokenRotation,
        [
            rule
            for model in (TokenRotation, TokenRotationSpec, Strategy, Batch, Window, DeviceCounts)
            for rule in model.RULES
        ],
        test_rules_of_kinds,
        test_rules_of_kinds,
        test_rules_of_kinds,
        OF_EVERY_KIND
        | {"scalar unset, default back", "object set", "object unset, default back"}
        | {"member set", "member unset"}
        | {"item added", "item removed", "items changed", "items reordered", "list set", "list unset"},
    ),
]
every_kind = pytest.mark.parametrize("tables", TABLES, ids=[tables.kind.__name__ for tables in TABLES])


@every_kind
def test_a_case_of_the_gate_breaks_each_rule(tables: Tables) -> None:
    texts = {case.text for cases in tables.variants("gate") for case, _ in cases if hasattr(case, "text")}
    untried = [rule.message for rule in tables.rules if not any(text in rule.message for text in texts)]

    # Tests of their own try names that are too long.
    assert untried == [NAME_FITS.message]


@every_kind
def test_the_gate_has_each_case_by_put_or_post_and_the_soak_by_every_verb(tables: Tables) -> None:
    for gate, soak in zip(tables.variants("gate"), tables.variants("soak"), strict=True):
        cases, verbs = {case.id for case, _ in soak}, {writer.name for _, writer in soak}

        assert {case.id for case, writer in gate if writer in {CREATE, REPLACE, STATUS_REPLACE}} == cases
        assert len(soak) == len(cases) * len(verbs)
        assert len(verbs) >= 3


@every_kind
def test_the_gate_tries_each_shape_of_an_edit_by_every_verb(tables: Tables) -> None:
    schema, tried = schema_of(tables.kind, "spec"), defaultdict(set)
    tables_of_edits = [
        cases for cases in variants(tables.edits, "gate", tables.kind) if REPLACE in {writer for _, writer in cases}
    ]
    for case, writer in itertools.chain(*tables_of_edits):
        tried[writer.name] |= shapes(case, schema)

    assert tried == {writer.name: tables.shapes_of_edits for writer in WRITERS}
