"""Tables of rules: what a case is, and how a test runs for every case and every way to write."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tallystick.install.installation import Installation
from tallystick.schema.meta import API_VERSION
from tests.harness.api import Answer, Api
from tests.harness.writers import STATUS_WRITERS, WRITERS

Json = dict[str, Any]

StatusWriter = Callable[[Api, Json, Json], Answer]


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


every_writer = pytest.mark.parametrize("writer", WRITERS, ids=[writer.name for writer in WRITERS])
every_creator = pytest.mark.parametrize(
    "writer", [w for w in WRITERS if w.name != "replace"], ids=["kubectl apply", "create", "server-side apply"]
)
every_status_writer = pytest.mark.parametrize("write_status", STATUS_WRITERS.values(), ids=list(STATUS_WRITERS))


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
