"""Reasons are part of the API: each one is a member of an enumeration beside its kind, is used, and is documented."""

import ast
import functools
from collections.abc import Iterator
from enum import StrEnum

import pytest

from tallystick.connections.api import reasons as connection_reasons
from tallystick.connections.api.connection_configuration import ConnectionTokenState, RevocationReason
from tallystick.fleet.api import reasons as fleet_reasons
from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.counts import Standing
from tallystick.objects import reasons as shared_reasons
from tallystick.pairing.api import reasons as pairing_reasons
from tallystick.pairing.api.device_project import RotationState
from tallystick.pairing.api.master_token import MasterTokenState
from tallystick.pairing.api.pairing_token import PairingTokenState
from tests.unit.test_house import PACKAGE, modules

MODULES = (shared_reasons, pairing_reasons, connection_reasons, fleet_reasons)
ENUMS = [
    found
    for module in MODULES
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, StrEnum) and found is not StrEnum
]
REASONS = {member.value for enum in ENUMS for member in enum}
# Words that a state or the reason of a revocation has, too: such a literal is a reason only where one is asked for.
OTHER_WORDS = {
    word.value
    for enum in (
        PairingTokenState,
        MasterTokenState,
        ConnectionTokenState,
        RevocationReason,
        RotationState,
        DesiredState,
        Standing,
    )
    for word in enum
}
TAKE_A_REASON = {"ready", "reconciling", "stalled", "DesiredCondition", "stall", "wait", "warn", "Unissuable"}
# Condition types are not reasons, and an example of an object (`typical`) holds what the API server returns.
TYPES = {"LicenseValid", "RotationOverdue"}


@functools.cache
def sources() -> list[tuple[str, ast.Module]]:
    """The modules that write conditions and events about our kinds."""
    return [
        (name, tree)
        for name, tree in modules()
        if name.startswith(("objects/", "pairing/", "connections/", "fleet/", "tokens/", "controller/"))
        and not name.endswith(("reasons.py", "feature.py"))
    ]


def literals(node: ast.AST) -> set[str]:
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def test_no_reason_is_written_as_a_literal():
    anywhere = [
        (name, reason) for name, tree in sources() for reason in literals(tree) & (REASONS - OTHER_WORDS - TYPES)
    ]
    where_one_is_asked_for = [
        (name, reason)
        for name, tree in sources()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and called(call) in TAKE_A_REASON
        for argument in (*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "reason"))
        if isinstance(argument, ast.Constant)
        for reason in literals(argument) & (REASONS - TYPES)
    ]

    assert anywhere + where_one_is_asked_for == []


@pytest.mark.parametrize("enum", ENUMS)
def test_every_reason_is_used(enum):
    used = {member for _, tree in sources() for member in members_in(tree, enum)}

    assert set(enum.__members__) - used == set()


def members_in(tree: ast.Module, enum: type[StrEnum]) -> Iterator[str]:
    names = names_of(enum, tree)
    for node in ast.walk(tree) if names else ():
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            yield node.attr


def names_of(enum: type[StrEnum], tree: ast.Module) -> set[str]:
    """The names under which a module has imported an enumeration."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == enum.__name__
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_reason_is_documented_below_it(module):
    tree = ast.parse((PACKAGE.parent / f"{module.__name__.replace('.', '/')}.py").read_text())

    for enum in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        _, *body = enum.body
        pairs = list(zip(body[::2], body[1::2], strict=True))
        assert all(isinstance(member, ast.Assign) for member, _ in pairs), enum.name
        assert all(isinstance(text, ast.Expr) and literals(text) for _, text in pairs), enum.name
