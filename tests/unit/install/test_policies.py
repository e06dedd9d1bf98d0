from typing import Any

import pytest

from tallystick.cli.installing import install_parts
from tallystick.cli.settings import feature_settings
from tallystick.install import policies as built_in
from tallystick.install.installation import Installation
from tallystick.pairing.domain.requester import (
    VALIDATION_IS_IN_FORCE,
    VALIDATION_REJECTS_CHANGED,
    VALIDATION_REJECTS_FORGED,
    RequesterMode,
)
from tallystick.registry import FEATURES, KINDS

Json = dict[str, Any]

EVERYWHERE = Installation()
SOMEWHERE = Installation(watch_namespaces=("edge", "core"))
TRUSTING = Installation(release="trusting")
MODES = {TRUSTING: RequesterMode.SERVICE_ACCOUNT}


def policies(installation: Installation) -> list[Json]:
    settings = feature_settings(requester=MODES.get(installation, RequesterMode.POLICY))
    return built_in.policies(installation, KINDS, install_parts(installation, FEATURES, settings))


def guard_texts(installation: Installation) -> list[str]:
    (guard,) = (
        body
        for body in policies(installation)
        if body["kind"] == "ValidatingAdmissionPolicy" and body["metadata"]["name"].startswith("guard.")
    )
    return [validation["message"] for validation in guard["spec"]["validations"]]


@pytest.mark.parametrize("installation", [EVERYWHERE, SOMEWHERE, TRUSTING])
def test_every_policy_fails_closed_and_is_bound(installation: Installation) -> None:
    built = policies(installation)
    kinds = {(body["kind"], body["metadata"]["name"]): body["spec"] for body in built}

    made = {key: spec for key, spec in kinds.items() if not key[0].endswith("Binding")}

    for (kind, name), spec in made.items():
        # Who is only warned is not stopped by a warning that cannot be given.
        warns = name.startswith(("cut-off.", "finished."))
        binding = kinds[f"{kind}Binding", name]
        assert binding["policyName"] == name
        assert spec["failurePolicy"] == ("Ignore" if warns else "Fail")
        assert binding.get("validationActions", ["Deny"]) == (["Warn"] if warns else ["Deny"])


def test_the_requester_is_stamped_and_guarded_in_policy_mode() -> None:
    kinds = {body["kind"] for body in policies(EVERYWHERE)}

    assert "MutatingAdmissionPolicy" in kinds
    assert {VALIDATION_REJECTS_FORGED, VALIDATION_REJECTS_CHANGED} <= set(guard_texts(EVERYWHERE))


def test_the_requester_is_left_alone_in_service_account_mode_and_use_cases_are_not() -> None:
    kinds = {body["kind"] for body in policies(TRUSTING)}

    assert "MutatingAdmissionPolicy" not in kinds
    assert guard_texts(TRUSTING) == [
        VALIDATION_IS_IN_FORCE,
        "you cannot request this use case in this namespace; ask an administrator for a RoleBinding",
        "only the exchange can set the annotation tallystick.dev/made-by; remove it",
    ]


def test_a_release_that_watches_all_namespaces_is_bound_everywhere() -> None:
    bindings = [body["spec"] for body in policies(EVERYWHERE) if body["kind"].endswith("Binding")]

    assert all("matchResources" not in binding for binding in bindings)


def test_a_release_that_watches_some_namespaces_is_bound_to_them_and_its_own() -> None:
    bindings = [body["spec"] for body in policies(SOMEWHERE) if body["kind"].endswith("Binding")]

    (selector,) = {str(binding["matchResources"]["namespaceSelector"]) for binding in bindings}

    assert "'values': ['core', 'edge', 'tallystick-system']" in selector


def test_two_releases_share_no_policy() -> None:
    one, two = Installation(release="one"), Installation(release="two")

    names = [{(body["kind"], body["metadata"]["name"]) for body in policies(each)} for each in (one, two)]

    assert names[0].isdisjoint(names[1])


def test_the_longest_names_still_fit() -> None:
    longest = Installation(namespace="n" * 63, release="r" * 53)

    assert max(len(body["metadata"]["name"]) for body in policies(longest)) <= 253
