"""Tables of rules: what a case is, and by which ways to write a test runs for a case.

In the gate a test runs for each case by one verb, and for one case of each shape by every verb. With --soak it runs for
each case by every verb.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from tallystick.install.installation import Installation
from tallystick.schema.meta import API_VERSION
from tests.harness.api import Answer, Api
from tests.harness.rule_shapes import one_of_each_shape
from tests.harness.writers import (
    CREATE,
    CREATORS,
    REPLACE,
    STATUS_REPLACE,
    STATUS_WRITERS,
    WRITERS,
    StatusWriter,
    Writer,
)

Json = dict[str, Any]


class Refused(NamedTuple):
    """Something that is refused: what was, what is asked for, and a part of the answer."""

    id: str
    before: Json
    after: Json
    text: str


class Allowed(NamedTuple):
    """Something that is allowed."""

    id: str
    before: Json
    after: Json


def by_id(cases: list[Any]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])


def _all(name: str, writers: Sequence[Writer | StatusWriter]) -> Any:
    return pytest.mark.parametrize(name, writers, ids=[writer.name for writer in writers])


every_writer = _all("writer", WRITERS)
every_creator = _all("writer", CREATORS)
every_status_writer = _all("write_status", STATUS_WRITERS)


def by_creator(cases: Sequence[Any], schema: Json) -> Any:
    """Run a test for each case by POST, and by the other ways to create an object as the module says."""
    return _variants("case, writer", cases, CREATORS, CREATE, schema)


def by_writer(cases: Sequence[Any], schema: Json) -> Any:
    """Run a test for each case by PUT, and by the other ways to edit an object as the module says."""
    return _variants("case, writer", cases, WRITERS, REPLACE, schema)


def by_status_writer(cases: Sequence[Any], schema: Json) -> Any:
    """Run a test for each case by PUT of a status, and by the other ways to write one as the module says."""
    return _variants("case, write_status", cases, STATUS_WRITERS, STATUS_REPLACE, schema)


def _variants(names: str, cases: Sequence[Any], writers: Sequence[Any], first: Any, schema: Json) -> Any:
    gate, soak = variants_of(cases, writers, first, schema)
    return pytest.mark.variants(names, gate=gate, soak=soak)


def variants_of(cases: Sequence[Any], writers: Sequence[Any], first: Any, schema: Json) -> tuple[list[Any], list[Any]]:
    """Return the parameters `case, writer` of the gate, and those of --soak."""
    by_all = one_of_each_shape(cases, schema)
    product = [
        (case, writer, pytest.param(case, writer, id=f"{case.id}, {writer.name}"))
        for case in cases
        for writer in writers
    ]
    gate = [param for case, writer, param in product if writer is first or case in by_all]
    return gate, [param for *_, param in product]


STORED = "(the write was stored)"


def must_be_refused(case: Any, writer: Writer | StatusWriter, answer: Answer) -> None:
    """Fail with the case, the verb, the expected text and what was found."""
    found = STORED if answer.succeeded else answer.message
    assert case.text in found, f"{case.id!r} by {writer.name}\nexpected: {case.text}\nfound:    {found}"


def must_be_stored(case: Any, writer: Writer | StatusWriter, answer: Answer, found: Json, expected: Json) -> None:
    """Fail with the case, the verb, the expected object and what was found. `found` is read after the write."""
    assert answer.succeeded, f"{case.id!r} by {writer.name}\nexpected: {STORED}\nfound:    {answer.message}"
    assert found == expected, f"{case.id!r} by {writer.name}\nexpected: {expected}\nfound:    {found}"


def objects_of(kind: str, namespace: str) -> Callable[[Json], Json]:
    """Return what builds objects of a kind, from their specs, under names that nobody uses yet."""
    numbers = itertools.count(1)

    def build(spec: Json) -> Json:
        metadata = {"name": f"{kind.lower()}-{next(numbers)}", "namespace": namespace}
        return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

    return build


def with_every_right(admin: Api, installed: Installation, component: str) -> Api:
    """Take a component's name, which the policies ask for, and every right: what refuses it is a rule."""
    return admin.as_user(installed.service_account(component), "system:masters")


@pytest.fixture(scope="module")
def controller(admin: Api, installed: Installation) -> Api:
    """The controller's name with every right. A test file imports this, and has it in its `__all__`."""
    return with_every_right(admin, installed, "controller")


def prepare(controller: Api, new: Json, status: Json, write_status: StatusWriter) -> None:
    """Bring a new object's status to where a case begins."""
    write_status(controller, new, new | {"status": status}).must_succeed()


def ask_for_status(
    admin: Api,
    controller: Api,
    new: Json,
    case: Refused | Allowed,
    write_status: StatusWriter,
    prepare: Callable[[Api, Json, Json, StatusWriter], None] = prepare,
) -> Answer:
    """Create an object whose status is as it was in a case, and give the answer to the status that is asked for."""
    admin.create(new).must_succeed()
    prepare(controller, new, case.before, write_status)
    return write_status(controller, new | {"status": case.before}, new | {"status": case.after})
