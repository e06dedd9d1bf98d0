"""The admission policies of a fleet, as they are installed."""

from typing import Any

import pytest

from tallystick.fleet.admission import GARBAGE_COLLECTOR, install_part
from tallystick.install.installation import Installation
from tests.unit.prose import Text, problems
from tests.unit.prose_sources.admission import _message as literals_of
from tests.unit.test_docs import nodes

Json = dict[str, Any]

EVERYWHERE = Installation()
SOMEWHERE = Installation(watch_namespaces=("edge", "core"))


def policies(installation: Installation) -> dict[str, Json]:
    built = install_part(installation).policies
    return {
        body["metadata"]["name"].split(".")[0]: body["spec"]
        for body in built
        if body["kind"] == "ValidatingAdmissionPolicy"
    }


def bindings(installation: Installation) -> dict[str, Json]:
    built = install_part(installation).policies
    return {body["spec"]["policyName"].split(".")[0]: body["spec"] for body in built if "Binding" in body["kind"]}


def test_a_policy_that_rejects_fails_closed_and_one_that_warns_stops_no_edit() -> None:
    failures = {name: spec["failurePolicy"] for name, spec in policies(EVERYWHERE).items()}
    actions = {name: spec["validationActions"] for name, spec in bindings(EVERYWHERE).items()}

    assert failures == {"devices": "Fail", "fleets": "Fail", "finished": "Ignore"}
    assert actions == {"devices": ["Deny"], "fleets": ["Deny"], "finished": ["Warn"]}


@pytest.mark.parametrize(("installation", "bound"), [(EVERYWHERE, False), (SOMEWHERE, True)])
def test_each_policy_is_bound_to_the_namespaces_of_its_release(installation: Installation, bound: bool) -> None:
    assert [("matchResources" in spec) for spec in bindings(installation).values()] == [bound] * 3


def test_the_exchange_of_this_release_creates_devices() -> None:
    (validation,) = policies(Installation(namespace="elsewhere"))["devices"]["validations"]

    exchange = "system:serviceaccount:elsewhere:tallystick-exchange"
    assert validation["expression"] == f"request.userInfo.username == '{exchange}'"


def test_the_garbage_collector_is_not_stopped() -> None:
    (validation,) = policies(EVERYWHERE)["fleets"]["validations"]

    assert f"'{GARBAGE_COLLECTOR}'" in validation["expression"]


def test_the_messages_are_plain_english() -> None:
    texts = [
        Text(name, literals_of(node[member]) if member == "messageExpression" else node[member])
        for name, spec in policies(EVERYWHERE).items()
        for node in nodes(spec)
        for member in ("message", "messageExpression")
        if member in node
    ]

    assert len(texts) == 4
    assert problems(texts) == []
