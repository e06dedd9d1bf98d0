"""What the API server makes of the chart's objects: it adds nothing to ours, and admits each pod."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tallystick.localplane.plane import ControlPlane
from tests.chart.helms import CHART, WHEELS, Helm, helm_of
from tests.chart.test_pods import pods
from tests.chart.test_same_objects import GENERATED
from tests.harness.api import Api
from tests.harness.plane import own_plane

__all__ = ["own_plane"]

Json = dict[str, Any]

NAMESPACE = "restricted-system"
EVERYTHING = yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text())


@pytest.fixture(scope="module")
def admin(own_plane: ControlPlane) -> Iterator[Api]:
    with Api.connect(own_plane.kubeconfig, own_plane.binaries.kubectl) as api:
        api.create({"kind": "Namespace", "metadata": {"name": "edge"}}).must_succeed()
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        api.create({"kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}).must_succeed()
        yield api


@pytest.fixture(scope="module")
def helm_4(own_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return helm_of(WHEELS[0], tmp_path_factory.mktemp("helm"), {"KUBECONFIG": str(own_plane.kubeconfig)})


@pytest.mark.parametrize(
    "values", [{}, {"watchNamespaces": ["edge"], "requester": "ServiceAccount"}], ids=["defaults", "other values"]
)
def test_an_apply_adds_no_field_and_changes_none(admin: Api, helm_4: Helm, values: Json) -> None:
    """Otherwise Argo CD would report a drift that no sync ends."""
    rendered = helm_4.objects(values, namespace=NAMESPACE, flags=["--skip-tests"])
    ours = [body for body in rendered if any(part in body["kind"] for part in GENERATED)]
    text = yaml.safe_dump_all(ours)

    admin.kubectl("apply", "--server-side", "--filename", "-", stdin=text)
    stored = json.loads(admin.kubectl("get", "--output", "json", "--filename", "-", stdin=text))["items"]

    assert {named(body): written(body) for body in stored} == {named(body): written(body) for body in ours}
    assert len(stored) > 30


def named(body: Json) -> tuple[str, str, str]:
    return body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]


# What the API server says of an object, beside what its writer has written.
OF_THE_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


def written(body: Json) -> Json:
    """Return what a user has written. Status and times are the API server's."""
    found = {key: value for key, value in copy.deepcopy(body).items() if key != "status"}
    for name in OF_THE_SERVER:
        found["metadata"].pop(name, None)
    return found


def test_a_namespace_that_enforces_restricted_admits_each_pod(admin: Api, helm_4: Helm) -> None:
    found = list(pods(helm_4.objects(EVERYTHING | {"controller": {}}, namespace=NAMESPACE)))
    for account in ("controller", "exchange", "check"):
        body = {"kind": "ServiceAccount", "metadata": {"name": f"tallystick-{account}", "namespace": NAMESPACE}}
        admin.apply({"apiVersion": "v1", **body}).must_succeed()

    assert len(found) == 3
    for number, spec in enumerate(found):
        assert create_pod(admin, f"given-{number}", spec) == ""
        # The control: the namespace does enforce it.
        loose = {**spec, "securityContext": {**spec["securityContext"], "runAsNonRoot": False}}
        assert 'violates PodSecurity "restricted:latest"' in create_pod(admin, f"loose-{number}", loose)


def create_pod(admin: Api, name: str, spec: Json) -> str:
    """Create a pod by a dry run, and return the reason for a rejection."""
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
    answer = admin.attempt("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All&", body)
    return answer.message


def test_a_render_with_a_cluster_is_the_one_without(admin: Api, helm_4: Helm) -> None:
    # Helm looks for the kinds that it renders: those of other operators are not here. And it looks for each object:
    # those of the test above are of no release.
    values = {**EVERYTHING, "tls": {}, "metrics": {"dashboard": {"enabled": True}}}
    values |= {"crds": {"enabled": False}, "userRoles": {"create": False}}
    without = helm_of(WHEELS[0], helm_4.home)

    with_cluster = helm_4.template(values, release="another", flags=["--dry-run=server"])

    assert with_cluster == without.template(values, release="another")
