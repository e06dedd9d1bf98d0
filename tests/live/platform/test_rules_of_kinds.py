"""Every static rule of several kinds on a real API server: what it refuses, with which text, and what it allows."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.install.installation import Installation
from tests.harness.api import Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    ask_for_status,
    must_be_refused,
    must_be_stored,
    objects_of,
    with_every_right,
)
from tests.harness.rule_tables import USER, RuleTable, each_case, each_create, each_edit, each_kind, each_status
from tests.harness.writers import CREATE, CREATORS, StatusWriter, Writer
from tests.live.clusterkeys.rules_join_key import JOIN_KEY
from tests.live.clusterkeys.rules_master_key import MASTER_KEY
from tests.live.fleet.rules_device import DEVICE
from tests.live.fleet.rules_token_rotation import TOKEN_ROTATION

Json = dict[str, Any]
Build = Callable[[RuleTable, Json], Json]
As = Callable[[str], Api]

TABLES = (MASTER_KEY, JOIN_KEY, DEVICE, TOKEN_ROTATION)


@pytest.fixture(scope="module")
def build(make_namespace: Callable[[str], str]) -> Build:
    """Build an object of a kind from its spec, under a name that nobody uses yet."""

    @functools.cache
    def of(kind: str) -> Callable[[Json], Json]:
        return objects_of(kind, make_namespace("rules"))

    return lambda table, spec: of(table.kind)(spec)


@pytest.fixture(scope="module")
def who(admin: Api, installed: Installation) -> As:
    """Take the name of a user or component, with every right: what refuses a write is a rule."""
    return functools.cache(lambda name: admin if name == USER else with_every_right(admin, installed, name))


@each_create(TABLES, "create_refused")
def test_a_create_is_refused_with_its_text(
    who: As, build: Build, table: RuleTable, writer: Writer, case: Refused
) -> None:
    api, body = who(table.writes_spec), build(table, case.after)

    answer = writer.create(api, body)

    must_be_refused(case, writer, answer)
    assert api.find(body) is None


@each_case(TABLES, "schema_refused")
def test_a_value_of_the_wrong_form_is_refused_by_its_field(
    who: As, build: Build, table: RuleTable, case: Refused
) -> None:
    answer = who(table.writes_spec).create(build(table, case.after))

    must_be_refused(case, CREATE, answer)


@each_create(TABLES, "create_allowed")
def test_a_create_is_allowed_and_gets_the_defaults(
    who: As, build: Build, table: RuleTable, writer: Writer, case: Allowed
) -> None:
    answer = writer.create(who(table.writes_spec), build(table, case.after))

    must_be_stored(case, writer, answer, answer.body.get("spec"), table.defaulted(case.after))
    assert answer.body["status"] == {"observedGeneration": -1}


@each_edit(TABLES, "edit_refused")
def test_an_edit_is_refused_with_its_text(
    who: As, build: Build, table: RuleTable, writer: Writer, case: Refused
) -> None:
    api, before = who(table.writes_spec), build(table, case.before)
    stored = writer.create(api, before).must_succeed()

    answer = writer.edit(api, before, before | {"spec": case.after})

    must_be_refused(case, writer, answer)
    assert api.get(before)["spec"] == stored["spec"]


@each_edit(TABLES, "edit_allowed")
def test_an_edit_is_allowed(who: As, build: Build, table: RuleTable, writer: Writer, case: Allowed) -> None:
    api, before = who(table.writes_spec), build(table, case.before)
    writer.create(api, before).must_succeed()

    answer = writer.edit(api, before, before | {"spec": case.after})

    must_be_stored(case, writer, answer, api.get(before)["spec"], table.defaulted(case.after))


@each_status(TABLES, "status_refused")
def test_a_status_is_refused_with_its_text(
    who: As, build: Build, table: RuleTable, write_status: StatusWriter, case: Refused
) -> None:
    new = build(table, table.under_status)

    answer = ask_for_status(who(table.writes_spec), who(table.writes_status), new, case, write_status)

    must_be_refused(case, write_status, answer)


@each_status(TABLES, "status_allowed")
def test_a_status_is_allowed(
    who: As, build: Build, table: RuleTable, write_status: StatusWriter, case: Allowed
) -> None:
    new = build(table, table.under_status)

    answer = ask_for_status(who(table.writes_spec), who(table.writes_status), new, case, write_status)

    must_be_stored(case, write_status, answer, answer.body.get("status"), {"observedGeneration": -1} | case.after)


@each_kind(TABLES)
@pytest.mark.parametrize("writer", CREATORS, ids=[writer.name for writer in CREATORS])
@pytest.mark.parametrize(("length", "allowed"), [(63, True), (64, False)])
def test_a_name_has_at_most_63_characters(
    who: As, build: Build, table: RuleTable, writer: Writer, length: int, allowed: bool
) -> None:
    body = build(table, table.least)
    body["metadata"]["name"] = writer.name.replace(" ", "-").ljust(length, "x")

    answer = writer.create(who(table.writes_spec), body)

    assert answer.succeeded == allowed
    assert allowed or "metadata.name must have at most 63 characters" in answer.message


@each_kind([table for table in TABLES if table.unknown is not None])
def test_a_key_or_token_cannot_be_written_into_the_spec(who: As, build: Build, table: RuleTable) -> None:
    """There is no such field, and kubectl says so."""
    assert table.unknown is not None
    spec, path = table.unknown

    answer = who(table.writes_spec).kubectl_apply(build(table, table.least | spec))

    assert not answer.succeeded
    assert f'unknown field "{path}"' in answer.message
