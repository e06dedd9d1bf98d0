from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tallystick.cli.installing import install_parts
from tallystick.cli.settings import feature_settings
from tallystick.install import rbac as built_in
from tallystick.install.installation import Installation
from tallystick.registry import FEATURES, KINDS

Json = dict[str, Any]

GOLDEN = """\
tallystick-controller in all namespaces may create events
tallystick-controller in all namespaces may create secrets
tallystick-controller in all namespaces may delete pairingtokens.tallystick.dev
tallystick-controller in all namespaces may delete secrets
tallystick-controller in all namespaces may get connectionconfigurations.tallystick.dev
tallystick-controller in all namespaces may get devices.tallystick.dev
tallystick-controller in all namespaces may get joinkeys.tallystick.dev
tallystick-controller in all namespaces may get masterkeys.tallystick.dev
tallystick-controller in all namespaces may get mastertokens.tallystick.dev
tallystick-controller in all namespaces may get pairingtokens.tallystick.dev
tallystick-controller in all namespaces may get secrets
tallystick-controller in all namespaces may get tokenrotations.tallystick.dev
tallystick-controller in all namespaces may list connectionconfigurations.tallystick.dev
tallystick-controller in all namespaces may list devices.tallystick.dev
tallystick-controller in all namespaces may list joinkeys.tallystick.dev
tallystick-controller in all namespaces may list masterkeys.tallystick.dev
tallystick-controller in all namespaces may list mastertokens.tallystick.dev
tallystick-controller in all namespaces may list pairingtokens.tallystick.dev
tallystick-controller in all namespaces may list secrets
tallystick-controller in all namespaces may list tokenrotations.tallystick.dev
tallystick-controller in all namespaces may update connectionconfigurations/status.tallystick.dev
tallystick-controller in all namespaces may update devices/status.tallystick.dev
tallystick-controller in all namespaces may update joinkeys.tallystick.dev
tallystick-controller in all namespaces may update joinkeys/status.tallystick.dev
tallystick-controller in all namespaces may update masterkeys/status.tallystick.dev
tallystick-controller in all namespaces may update mastertokens/status.tallystick.dev
tallystick-controller in all namespaces may update pairingtokens/status.tallystick.dev
tallystick-controller in all namespaces may update secrets
tallystick-controller in all namespaces may update tokenrotations/status.tallystick.dev
tallystick-controller in all namespaces may watch connectionconfigurations.tallystick.dev
tallystick-controller in all namespaces may watch devices.tallystick.dev
tallystick-controller in all namespaces may watch joinkeys.tallystick.dev
tallystick-controller in all namespaces may watch masterkeys.tallystick.dev
tallystick-controller in all namespaces may watch mastertokens.tallystick.dev
tallystick-controller in all namespaces may watch pairingtokens.tallystick.dev
tallystick-controller in all namespaces may watch secrets
tallystick-controller in all namespaces may watch tokenrotations.tallystick.dev
tallystick-controller in tallystick-system may create events
tallystick-controller in tallystick-system may create joinkeys.tallystick.dev
tallystick-controller in tallystick-system may create leases.coordination.k8s.io
tallystick-controller in tallystick-system may create masterkeys.tallystick.dev
tallystick-controller in tallystick-system may create mastertokens.tallystick.dev
tallystick-controller in tallystick-system may create pairingtokens.tallystick.dev
tallystick-controller in tallystick-system may create secrets
tallystick-controller in tallystick-system may delete configmaps
tallystick-controller in tallystick-system may get configmaps
tallystick-controller in tallystick-system may get leases.coordination.k8s.io
tallystick-controller in tallystick-system may get secrets
tallystick-controller in tallystick-system may list configmaps
tallystick-controller in tallystick-system may update leases.coordination.k8s.io
tallystick-controller in tallystick-system may update secrets
tallystick-exchange in all namespaces may create devices.tallystick.dev
tallystick-exchange in all namespaces may create events
tallystick-exchange in all namespaces may create mastertokens.tallystick.dev
tallystick-exchange in all namespaces may create pairingtokens.tallystick.dev
tallystick-exchange in all namespaces may create subjectaccessreviews.authorization.k8s.io
tallystick-exchange in all namespaces may create tokenreviews.authentication.k8s.io
tallystick-exchange in all namespaces may get connectionconfigurations.tallystick.dev
tallystick-exchange in all namespaces may get devices.tallystick.dev
tallystick-exchange in all namespaces may get mastertokens.tallystick.dev
tallystick-exchange in all namespaces may get pairingtokens.tallystick.dev
tallystick-exchange in all namespaces may get tokenrotations.tallystick.dev
tallystick-exchange in all namespaces may update devices/status.tallystick.dev
tallystick-exchange in all namespaces may update mastertokens/status.tallystick.dev
tallystick-exchange in all namespaces may update pairingtokens/status.tallystick.dev
tallystick-exchange in all namespaces may use usecases.tallystick.dev
tallystick-exchange in tallystick-system may create configmaps
tallystick-exchange in tallystick-system may get configmaps
tallystick-exchange in tallystick-system may get secrets tallystick-keyring
tallystick-exchange in tallystick-system may update configmaps
whoever is bound to tallystick-edit may create connectionconfigurations.tallystick.dev
whoever is bound to tallystick-edit may create joinkeys.tallystick.dev
whoever is bound to tallystick-edit may create masterkeys.tallystick.dev
whoever is bound to tallystick-edit may create pairingtokens.tallystick.dev
whoever is bound to tallystick-edit may create tokenrotations.tallystick.dev
whoever is bound to tallystick-edit may delete connectionconfigurations.tallystick.dev
whoever is bound to tallystick-edit may delete devices.tallystick.dev
whoever is bound to tallystick-edit may delete joinkeys.tallystick.dev
whoever is bound to tallystick-edit may delete masterkeys.tallystick.dev
whoever is bound to tallystick-edit may delete mastertokens.tallystick.dev
whoever is bound to tallystick-edit may delete pairingtokens.tallystick.dev
whoever is bound to tallystick-edit may delete tokenrotations.tallystick.dev
whoever is bound to tallystick-edit may get connectionconfigurations.tallystick.dev
whoever is bound to tallystick-edit may get devices.tallystick.dev
whoever is bound to tallystick-edit may get joinkeys.tallystick.dev
whoever is bound to tallystick-edit may get masterkeys.tallystick.dev
whoever is bound to tallystick-edit may get mastertokens.tallystick.dev
whoever is bound to tallystick-edit may get pairingtokens.tallystick.dev
whoever is bound to tallystick-edit may get tokenrotations.tallystick.dev
whoever is bound to tallystick-edit may list connectionconfigurations.tallystick.dev
whoever is bound to tallystick-edit may list devices.tallystick.dev
whoever is bound to tallystick-edit may list joinkeys.tallystick.dev
whoever is bound to tallystick-edit may list masterkeys.tallystick.dev
whoever is bound to tallystick-edit may list mastertokens.tallystick.dev
whoever is bound to tallystick-edit may list pairingtokens.tallystick.dev
whoever is bound to tallystick-edit may list tokenrotations.tallystick.dev
whoever is bound to tallystick-edit may patch connectionconfigurations.tallystick.dev
whoever is bound to tallystick-edit may patch devices.tallystick.dev
whoever is bound to tallystick-edit may patch joinkeys.tallystick.dev
whoever is bound to tallystick-edit may patch masterkeys.tallystick.dev
whoever is bound to tallystick-edit may patch mastertokens.tallystick.dev
whoever is bound to tallystick-edit may patch pairingtokens.tallystick.dev
whoever is bound to tallystick-edit may patch tokenrotations.tallystick.dev
whoever is bound to tallystick-edit may update connectionconfigurations.tallystick.dev
whoever is bound to tallystick-edit may update devices.tallystick.dev
whoever is bound to tallystick-edit may update joinkeys.tallystick.dev
whoever is bound to tallystick-edit may update masterkeys.tallystick.dev
whoever is bound to tallystick-edit may update mastertokens.tallystick.dev
whoever is bound to tallystick-edit may update pairingtokens.tallystick.dev
whoever is bound to tallystick-edit may update tokenrotations.tallystick.dev
whoever is bound to tallystick-edit may watch connectionconfigurations.tallystick.dev
whoever is bound to tallystick-edit may watch devices.tallystick.dev
whoever is bound to tallystick-edit may watch joinkeys.tallystick.dev
whoever is bound to tallystick-edit may watch masterkeys.tallystick.dev
whoever is bound to tallystick-edit may watch mastertokens.tallystick.dev
whoever is bound to tallystick-edit may watch pairingtokens.tallystick.dev
whoever is bound to tallystick-edit may watch tokenrotations.tallystick.dev
whoever is bound to tallystick-introspect may introspect connectionconfigurations.tallystick.dev
whoever is bound to tallystick-introspect may introspect devices.tallystick.dev
whoever is bound to tallystick-introspect may introspect mastertokens.tallystick.dev
whoever is bound to tallystick-introspect may introspect pairingtokens.tallystick.dev
whoever is bound to tallystick-key-viewer may get secrets default-join-key
whoever is bound to tallystick-usecase-artifactory-cold may use usecases.tallystick.dev artifactory-cold
whoever is bound to tallystick-usecase-federated-repo may use usecases.tallystick.dev federated-repo
whoever is bound to tallystick-usecase-mission-control may use usecases.tallystick.dev mission-control
whoever is bound to tallystick-view may get connectionconfigurations.tallystick.dev
whoever is bound to tallystick-view may get devices.tallystick.dev
whoever is bound to tallystick-view may get joinkeys.tallystick.dev
whoever is bound to tallystick-view may get masterkeys.tallystick.dev
whoever is bound to tallystick-view may get mastertokens.tallystick.dev
whoever is bound to tallystick-view may get pairingtokens.tallystick.dev
whoever is bound to tallystick-view may get tokenrotations.tallystick.dev
whoever is bound to tallystick-view may list connectionconfigurations.tallystick.dev
whoever is bound to tallystick-view may list devices.tallystick.dev
whoever is bound to tallystick-view may list joinkeys.tallystick.dev
whoever is bound to tallystick-view may list masterkeys.tallystick.dev
whoever is bound to tallystick-view may list mastertokens.tallystick.dev
whoever is bound to tallystick-view may list pairingtokens.tallystick.dev
whoever is bound to tallystick-view may list tokenrotations.tallystick.dev
whoever is bound to tallystick-view may watch connectionconfigurations.tallystick.dev
whoever is bound to tallystick-view may watch devices.tallystick.dev
whoever is bound to tallystick-view may watch joinkeys.tallystick.dev
whoever is bound to tallystick-view may watch masterkeys.tallystick.dev
whoever is bound to tallystick-view may watch mastertokens.tallystick.dev
whoever is bound to tallystick-view may watch pairingtokens.tallystick.dev
whoever is bound to tallystick-view may watch tokenrotations.tallystick.dev
"""


def rbac(installation: Installation) -> list[Json]:
    return built_in.rbac(installation, KINDS, install_parts(installation, FEATURES, feature_settings()))


def rights(installation: Installation) -> set[str]:
    """Say every right as a sentence."""
    objects = rbac(installation)
    holders = {
        (body["roleRef"]["kind"], body["metadata"].get("namespace", ""), body["roleRef"]["name"]): subject["name"]
        for body in objects
        if body["kind"].endswith("Binding")
        for subject in body["subjects"]
    }
    return {
        f"{who(body, holders)} may {right}"
        for body in objects
        if body["kind"] in {"Role", "ClusterRole"}
        for rule in body["rules"]
        for right in said(rule)
    }


def who(role: Json, holders: dict[tuple[str, str, str], str]) -> str:
    name, namespace = role["metadata"]["name"], role["metadata"].get("namespace", "")
    holder = holders.get((role["kind"], namespace, name))
    return f"{holder} in {namespace or 'all namespaces'}" if holder else f"whoever is bound to {name}"


def said(rule: Json) -> Iterator[str]:
    for verb in rule["verbs"]:
        for resource in rule["resources"]:
            for name in rule.get("resourceNames", [""]):
                (group,) = rule["apiGroups"]
                yield f"{verb} {resource}.{group} {name}".replace(". ", " ").rstrip(" .")


def test_the_rights_are_these_and_no_others() -> None:
    assert sorted(rights(Installation())) == sorted(GOLDEN.splitlines())


def test_there_is_no_wildcard_and_no_way_to_more_rights() -> None:
    rules = [rule for body in rbac(Installation()) for rule in body.get("rules", [])]

    words = {word for rule in rules for field in rule.values() for word in field}

    assert words.isdisjoint({"*", "escalate", "bind", "impersonate"})


def test_a_release_that_watches_some_namespaces_reaches_into_no_other() -> None:
    said_of_us = [right for right in rights(Installation(watch_namespaces=("edge",))) if "whoever" not in right]

    assert {right for right in said_of_us if "all namespaces" in right} == {
        "tallystick-exchange in all namespaces may create subjectaccessreviews.authorization.k8s.io",
        "tallystick-exchange in all namespaces may create tokenreviews.authentication.k8s.io",
    }
    assert "tallystick-controller in edge may list secrets" in said_of_us
    assert "tallystick-exchange in edge may get pairingtokens.tallystick.dev" in said_of_us


def test_to_see_comes_with_view_and_to_create_comes_with_nothing() -> None:
    """To create a pairing token is to mint trust: no role that people already have gives it."""
    aggregated = {
        body["metadata"]["name"]: body["metadata"]["labels"]
        for body in rbac(Installation())
        if "labels" in body["metadata"]
    }

    assert aggregated == {"tallystick-view": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}


def test_every_binding_names_a_role_that_is_installed_before_it() -> None:
    seen = set()
    for body in rbac(Installation(watch_namespaces=("edge",))):
        seen.add((body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]))
        if "roleRef" in body:
            assert (body["roleRef"]["kind"], body["metadata"].get("namespace", ""), body["roleRef"]["name"]) in seen


def test_the_controller_updates_only_objects_of_kinds_that_say_so() -> None:
    kinds = [KINDS[0], replace(KINDS[-1], controller=("update",))]

    rules = [rule for rule in built_in.controller_rules(kinds) if "update" in rule["verbs"]]

    assert rules[0]["resources"] == [KINDS[-1].resource.plural]
    assert [rule["resources"] for rule in built_in.controller_rules(KINDS[1:2])][1:2] == [["mastertokens/status"]]
