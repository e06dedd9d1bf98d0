"""The chart has the objects of `tallystick up`, for any values, under both Helms."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallystick.cli.installing import install_parts, write_chart
from tallystick.cli.settings import feature_settings
from tallystick.install.chart import FOLDER
from tallystick.install.installation import Installation
from tallystick.install.manifests import manifests
from tallystick.registry import FEATURES, KINDS
from tests.chart.helms import BOTH, CHART, Helm, Wheel

Json = dict[str, Any]

GENERATED = ("CustomResourceDefinition", "AdmissionPolicy", "Role", "ServiceAccount")


def files_of(chart: Path) -> dict[str, str]:
    """Return the generated files of a chart by their path."""
    found = [*(chart / FOLDER).rglob("*.*"), chart / "values.yaml", chart / "values.schema.json", chart / "README.md"]
    return {path.relative_to(chart).as_posix(): path.read_text(encoding="utf-8") for path in found if path.is_file()}


def test_the_committed_chart_is_the_output_of_the_generator(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text((CHART / "README.md").read_text(encoding="utf-8"), encoding="utf-8")

    write_chart(tmp_path)

    assert files_of(tmp_path) == files_of(CHART), "the code has changed: run `make chart`"


def test_a_template_of_a_removed_kind_is_deleted(tmp_path: Path) -> None:
    removed = tmp_path / FOLDER / "crds" / "tallystick.dev_removed.yaml"
    removed.parent.mkdir(parents=True)
    removed.write_text("kind: Removed\n", encoding="utf-8")

    write_chart(tmp_path)

    assert not removed.exists()


@dataclass(frozen=True, slots=True)
class Case:
    """Values, and the names of a release."""

    id: str
    requester: str = "Policy"
    watched: Sequence[str] = ()
    user_roles: bool = True
    crds: bool = True
    use_cases: Sequence[str] = ()
    release: str = "tallystick"
    namespace: str = "tallystick-system"
    more: Json = field(default_factory=dict)

    @property
    def values(self) -> Json:
        """The values of Helm; those that are not given keep their default."""
        given: Json = {"requester": self.requester, "userRoles": {"create": self.user_roles}, **self.more}
        given["crds"] = {"enabled": self.crds}
        if self.watched:
            given["watchNamespaces"] = list(self.watched)
        if self.use_cases:
            given["useCases"] = {name: {"scope": [f"{name}:all"]} for name in self.use_cases}
        return given

    def built(self, folder: Path) -> list[Json]:
        """Return the objects of `tallystick up`."""
        installation = Installation(self.namespace, self.release, tuple(self.watched), self.user_roles)
        settings: Json = {"requester": self.requester}
        if self.use_cases:
            settings["use_cases_file"] = folder / "use-cases.yaml"
            settings["use_cases_file"].write_text(yaml.safe_dump({"useCases": self.values["useCases"]}))
        parts = install_parts(installation, FEATURES, feature_settings(**settings))
        objects = manifests(installation, KINDS, parts)
        return [body for body in objects if self.crds or body["kind"] != "CustomResourceDefinition"]


TRUSTING = "ServiceAccount"
CASES = (
    Case("defaults"),
    Case("service accounts", TRUSTING),
    Case("one namespace", watched=["edge"]),
    Case("one namespace, service accounts", TRUSTING, watched=["edge"]),
    Case("three namespaces", watched=["mine", "edge", "core"]),
    Case("its own namespace too", watched=["tallystick-system", "a"]),
    Case("a second release", watched=["theirs"], user_roles=False, crds=False, release="second", namespace="second"),
    Case("a second release, service accounts", TRUSTING, ["theirs"], user_roles=False, crds=False, release="second"),
    Case("no roles for people", user_roles=False),
    Case("names that YAML reads as numbers", watched=["007", "1e3"], release="e3", namespace="2024"),
    Case("names that YAML reads as booleans", TRUSTING, ["true", "null"], release="no", namespace="on"),
    Case("use cases", use_cases=["one", "true", "another-case"]),
    Case("use cases, service accounts", TRUSTING, use_cases=["one"], watched=["b", "a"]),
    Case("the longest names", watched=["w" * 63], release="r" * 53, namespace="n" * 63),
)


@BOTH
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_helm_renders_the_objects_of_the_code(case: Case, wheel: Wheel, helm: Helm, tmp_path: Path) -> None:
    rendered = helm.objects(case.values, release=case.release, namespace=case.namespace, flags=["--skip-tests"])

    ours = [body for body in rendered if any(part in body["kind"] for part in GENERATED)]
    assert by_name(ours) == by_name(body for body in case.built(tmp_path) if body["kind"] != "Namespace"), wheel.version


def by_name(objects: Any) -> dict[tuple[str, str, str], Json]:
    """Return objects without labels and annotations, by kind, namespace and name."""
    found: dict[tuple[str, str, str], Json] = {}
    for body in objects:
        metadata = {name: value for name, value in body["metadata"].items() if name not in {"labels", "annotations"}}
        key = (body["kind"], metadata.get("namespace", ""), metadata["name"])
        assert key not in found, f"{key} is rendered twice"
        found[key] = {**body, "metadata": metadata}
    return found


@BOTH
def test_every_object_has_the_labels_of_the_chart(helm: Helm) -> None:
    names = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"}

    lacking = [
        (body["kind"], body["metadata"]["name"])
        for body in helm.objects()
        if not names <= body["metadata"].get("labels", {}).keys()
    ]

    assert lacking == []


@BOTH
@pytest.mark.parametrize("keep", [True, False])
def test_the_crds_are_kept_if_the_values_say_so(helm: Helm, keep: bool) -> None:
    crds = [body for body in helm.objects({"crds": {"keep": keep}}) if body["kind"] == "CustomResourceDefinition"]

    policies = {body["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for body in crds}
    assert (len(crds), policies) == (len(KINDS), {"keep" if keep else None})
