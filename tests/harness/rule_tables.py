"""The tables of rules of several kinds, for one set of tests that runs over all of them.

A kind whose tests need nothing beyond its table has a `RuleTable` in its module `rules_*.py`, and a place in
`tests/live/platform/test_rules_of_kinds.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.harness.rule_cases import variants_of
from tests.harness.rule_shapes import schema_of
from tests.harness.writers import CREATE, CREATORS, REPLACE, STATUS_REPLACE, STATUS_WRITERS, WRITERS

Json = dict[str, Any]

USER, CONTROLLER, EXCHANGE = "user", "controller", "exchange"


@dataclass(frozen=True, kw_only=True)
class RuleTable:
    """What the schema of a kind refuses, with which texts, and what it allows.

    Attributes:
        model: The kind.
        least: A spec that is allowed, with which a test of anything else than the spec creates an object.
        under_status: The same for a test of the status.
        defaulted: Returns a spec as it is stored: with the schema's defaults.
        unknown: A spec with a field for a secret value, and its path: there is no such field.
        writes_spec: The user or component that writes the spec.
        writes_status: The component that writes the status.
    """

    model: Any
    least: Json
    defaulted: Callable[[Json], Json]
    create_refused: Sequence[Any]
    schema_refused: Sequence[Any]
    create_allowed: Sequence[Any]
    edit_refused: Sequence[Any]
    edit_allowed: Sequence[Any]
    status_refused: Sequence[Any]
    status_allowed: Sequence[Any]
    under_status: Json = field(default_factory=dict)
    unknown: tuple[Json, str] | None = None
    writes_spec: str = USER
    writes_status: str = CONTROLLER

    @property
    def kind(self) -> str:
        name: str = self.model.RESOURCE.kind
        return name

    def schema(self, part: str) -> Json:
        return schema_of(self.model, part)


def each_create(tables: Sequence[RuleTable], cases: str) -> Any:
    """Run a test for each case of this name, by POST and by the other ways to create an object."""
    return _each("writer", tables, cases, "spec", CREATORS, CREATE)


def each_edit(tables: Sequence[RuleTable], cases: str) -> Any:
    """Run a test for each case of this name, by PUT and by the other ways to edit an object."""
    return _each("writer", tables, cases, "spec", WRITERS, REPLACE)


def each_status(tables: Sequence[RuleTable], cases: str) -> Any:
    """Run a test for each case of this name, by PUT of a status and by the other ways to write one."""
    return _each("write_status", tables, cases, "status", STATUS_WRITERS, STATUS_REPLACE)


def each_case(tables: Sequence[RuleTable], cases: str) -> Any:
    """Run a test for each case of this name."""
    found = [(table, case) for table in tables for case in getattr(table, cases)]
    ids = [f"{table.kind}: {case.id}" for table, case in found]
    return pytest.mark.parametrize(("table", "case"), found, ids=ids)


def each_kind(tables: Sequence[RuleTable]) -> Any:
    """Run a test for each kind."""
    return pytest.mark.parametrize("table", tables, ids=[table.kind for table in tables])


def _each(name: str, tables: Sequence[RuleTable], cases: str, part: str, writers: Sequence[Any], first: Any) -> Any:
    gate, soak = [], []
    for table in tables:
        of_kind = variants_of(getattr(table, cases), writers, first, table.schema(part))
        in_gate, in_soak = (
            [pytest.param(table, *param.values, id=f"{table.kind}: {param.id}") for param in params]
            for params in of_kind
        )
        gate += in_gate
        soak += in_soak
    return pytest.mark.variants(f"table, case, {name}", gate=gate, soak=soak)
