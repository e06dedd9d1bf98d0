"""Every static rule of TokenRotation on a real API server: what it refuses, with which text."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.rule_cases import (
    Allowed,
    Refused,
    ask_for_status,
    by_creator,
    by_id,
    by_status_writer,
    by_writer,
    controller,
    must_be_refused,
    must_be_stored,
    objects_of,
)
from tests.harness.writers import CREATE, StatusWriter, Writer
from tests.live.fleet.rules_token_rotation import (
    CREATE_ALLOWED,
    CREATE_REFUSED,
    EDIT_ALLOWED,
    EDIT_REFUSED,
    LEAST,
    SCHEMA_REFUSED,
    SPEC_SCHEMA,
    STATUS_ALLOWED,
    STATUS_REFUSED,
    STATUS_SCHEMA,
)

__all__ = ["controller"]

Json = dict[str, Any]

STRATEGY = {"successThreshold": "90%", "minSuccessTime": "0s", "maxFailures": "10%", "inProgressTimeout": "5m"}


@pytest.fixture(scope="module")
def rotation(make_namespace: Callable[[str], str]) -> Callable[[Json], Json]:
    return objects_of("TokenRotation", make_namespace("rotation-rules"))


def defaulted(spec: Json) -> Json:
    """Give the spec as it is stored: with the schema's defaults."""
    strategy = STRATEGY | spec.get("strategy", {})
    if "windows" in strategy:
        strategy["windows"] = [{"timeZone": "UTC"} | window for window in strategy["windows"]]
    base = {"reason": "Routine", "oldToken": "RevokeWhenProved", "desiredState": "Running"}
    return base | spec | {"strategy": strategy}


@by_creator(CREATE_REFUSED, SPEC_SCHEMA)
def test_a_create_is_refused_with_its_text(admin: Api, rotation: Any, writer: Writer, case: Refused) -> None:
    body = rotation(case.after)

    answer = writer.create(admin, body)

    must_be_refused(case, writer, answer)
    assert admin.find(body) is None


@by_id(SCHEMA_REFUSED)
def test_a_value_of_the_wrong_form_is_refused_by_its_field(admin: Api, rotation: Any, case: Refused) -> None:
    answer = admin.create(rotation(case.after))

    must_be_refused(case, CREATE, answer)


@by_creator(CREATE_ALLOWED, SPEC_SCHEMA)
def test_a_create_is_allowed_and_gets_the_defaults(admin: Api, rotation: Any, writer: Writer, case: Allowed) -> None:
    answer = writer.create(admin, rotation(case.after))

    must_be_stored(case, writer, answer, answer.body.get("spec"), defaulted(case.after))
    assert answer.body["status"] == {"observedGeneration": -1}


@by_writer(EDIT_REFUSED, SPEC_SCHEMA)
def test_an_edit_is_refused_with_its_text(admin: Api, rotation: Any, writer: Writer, case: Refused) -> None:
    before = rotation(case.before)
    stored = writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_refused(case, writer, answer)
    assert admin.get(before)["spec"] == stored["spec"]


@by_writer(EDIT_ALLOWED, SPEC_SCHEMA)
def test_an_edit_is_allowed(admin: Api, rotation: Any, writer: Writer, case: Allowed) -> None:
    before = rotation(case.before)
    writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_stored(case, writer, answer, admin.get(before)["spec"], defaulted(case.after))


@by_status_writer(STATUS_REFUSED, STATUS_SCHEMA)
def test_a_status_is_refused_with_its_text(
    admin: Api, controller: Api, rotation: Any, write_status: StatusWriter, case: Refused
) -> None:
    answer = ask_for_status(admin, controller, rotation(LEAST), case, write_status)

    must_be_refused(case, write_status, answer)


@by_status_writer(STATUS_ALLOWED, STATUS_SCHEMA)
def test_a_status_is_allowed(
    admin: Api, controller: Api, rotation: Any, write_status: StatusWriter, case: Allowed
) -> None:
    answer = ask_for_status(admin, controller, rotation(LEAST), case, write_status)

    must_be_stored(case, write_status, answer, answer.body.get("status"), {"observedGeneration": -1} | case.after)


@pytest.mark.parametrize(("length", "allowed"), [(63, True), (64, False)])
def test_a_name_has_at_most_63_characters(admin: Api, rotation: Any, length: int, allowed: bool) -> None:
    body = rotation(LEAST)
    body["metadata"]["name"] = "r" * length

    answer = admin.create(body)

    assert answer.succeeded == allowed
    assert allowed or "metadata.name must have at most 63 characters" in answer.message


def test_a_status_that_is_emptied_keeps_a_record(admin: Api, controller: Api, rotation: Any) -> None:
    body = rotation(LEAST)
    admin.create(body).must_succeed()
    controller.merge(body, {"status": {"state": "Aborted"}}, subresource="status").must_succeed()

    emptied = controller.merge(body, {"status": None}, subresource="status")

    assert "a finished rotation is a record" in emptied.message
