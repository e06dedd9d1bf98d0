"""What Helm accepts as values, and what it says of others."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helms import BOTH, CHART, Helm, HelmError, Wheel, objects_of, same

Json = dict[str, Any]

TEXTS_OF_HELM = {
    "misspelt": {
        "3": "(root): Additional property requestor is not allowed",
        "4": "additional properties 'requestor' not allowed",
    },
    "misspelt inside": {
        "3": "exchange.service: Additional property typ is not allowed",
        "4": "at '/exchange/service': additional properties 'typ' not allowed",
    },
    "wrong type": {
        "3": "controller.replicas: Invalid type. Expected: integer, given: string",
        "4": "at '/controller/replicas': got string, want integer",
    },
    "not one of": {
        "3": 'requester must be one of the following: "Policy", "ServiceAccount"',
        "4": "at '/requester': value must be one of 'Policy', 'ServiceAccount'",
    },
    "not a namespace": {
        "3": "watchNamespaces.0: Does not match pattern",
        "4": "at '/watchNamespaces/0': 'My_Space' does not match pattern",
    },
    "no https URL": {"3": "publicURLs.0: Does not match pattern", "4": "at '/publicURLs/0':"},
    "twice the same": {
        "3": "watchNamespaces: array items[0,1] must be unique",
        "4": "at '/watchNamespaces': items at 0 and 1 are equal",
    },
    "no scope": {"3": "useCases.mine: scope is required", "4": "at '/useCases/mine': missing property 'scope'"},
}
REJECTED = {
    "misspelt": {"requestor": "Policy"},
    "misspelt inside": {"exchange": {"service": {"typ": "NodePort"}}},
    "wrong type": {"controller": {"replicas": "two"}},
    "not one of": {"requester": "Anybody"},
    "not a namespace": {"watchNamespaces": ["My_Space"]},
    "no https URL": {"publicURLs": ["http://plain.example"]},
    "twice the same": {"watchNamespaces": ["edge", "edge"]},
    "no scope": {"useCases": {"mine": {}}},
}
UNFIT = [
    pytest.param(
        {"tls": {"mode": "existingSecret"}},
        "tls.mode existingSecret needs tls.existingSecret; set it to the name of a Secret of type kubernetes.io/tls",
        id="no Secret",
    ),
    pytest.param(
        {"tls": {"mode": "certManager"}},
        "tls.mode certManager needs tls.certManager.issuerRef.name; set it to the name of an Issuer of cert-manager",
        id="no Issuer",
    ),
    pytest.param(
        {"exchange": {"autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 2}}},
        "exchange.autoscaling.minReplicas must not be greater than exchange.autoscaling.maxReplicas; lower it",
        id="bounds",
    ),
    pytest.param(
        {"exchange": {"ingress": {"enabled": True}}},
        "exchange.ingress.enabled needs exchange.ingress.hosts; list the host names of publicURLs",
        id="no hosts",
    ),
]


@BOTH
@pytest.mark.parametrize("problem", REJECTED)
def test_a_value_that_the_chart_does_not_have_is_rejected(problem: str, wheel: Wheel, helm: Helm) -> None:
    with pytest.raises(HelmError, match=re.escape(TEXTS_OF_HELM[problem][wheel.version[0]])):
        helm.template(REJECTED[problem])


@BOTH
@pytest.mark.parametrize(("values", "text"), UNFIT)
def test_values_that_do_not_fit_together_are_rejected(values: Json, text: str, helm: Helm) -> None:
    with pytest.raises(HelmError, match=re.escape(text)):
        helm.template(values)


@BOTH
@pytest.mark.parametrize("name", ["1st", "a.b"])
def test_a_release_name_that_no_service_can_have_is_rejected(name: str, helm: Helm) -> None:
    with pytest.raises(HelmError, match=f"the release name {re.escape(name)} must begin with a letter and have no dot"):
        helm.template(release=name)


@BOTH
def test_policy_needs_kubernetes_1_36(helm: Helm) -> None:
    text = (
        "requester: Policy needs Kubernetes 1.36 or later, and this is v1.35.4; set requester: ServiceAccount "
        "(for `helm template`, you can add --kube-version 1.36.0 instead)"
    )

    with pytest.raises(HelmError, match=re.escape(text)):
        helm.template(kube_version="v1.35.4")

    assert helm.objects({"requester": "ServiceAccount"}, kube_version="v1.35.4")
    assert helm.objects(kube_version="v1.36.3-gke.100")


@BOTH
def test_kubernetes_before_1_32_is_rejected(helm: Helm) -> None:
    with pytest.raises(HelmError, match=re.escape("chart requires kubeVersion: >=1.32.0-0")):
        helm.template({"requester": "ServiceAccount"}, kube_version="1.31.9")


@BOTH
def test_two_renders_are_equal(helm: Helm) -> None:
    values = yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text())

    assert helm.template(values) == helm.template(values)


@pytest.mark.parametrize("path", sorted(CHART.rglob("templates/**/*.*")), ids=lambda path: path.name)
def test_no_template_asks_the_cluster_or_makes_something_random(path: Path) -> None:
    words = ("lookup ", "genCA", "genSigned", "genSelfSigned", "genPrivateKey", "randA", "randN", "randBytes", "uuidv4")
    times = ("now", "APIVersions")

    code = " ".join(re.findall(r"{{.*?}}", path.read_text(encoding="utf-8"), flags=re.DOTALL))

    assert [word for word in words if word in code] == []
    assert [word for word in times if re.search(rf"\b{word}\b", code)] == []


@BOTH
def test_it_is_rendered_as_a_subchart(helm: Helm, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / "tallystick").symlink_to(CHART)
    (parent / "Chart.yaml").write_text(
        "{apiVersion: v2, name: parent, version: 1.0.0, dependencies: "
        "[{name: tallystick, version: 0.1.0, condition: tallystick.enabled}]}\n"
    )
    given = {"global": {"imageRegistry": "registry.example", "list": [1]}, "tallystick": {"enabled": True}}

    rendered = helm.objects(given, chart=parent)
    off = helm.template({"tallystick": {"enabled": False}}, chart=parent)

    assert {same(body) for body in rendered} == {same(body) for body in helm.objects()}
    assert objects_of(off) == []


@BOTH
def test_use_cases_stand_in_place_of_the_built_in_table(helm: Helm) -> None:
    table = {"press": {"scope": ["press:print"], "masterTokenTTL": "24h"}}

    before, after = helm.objects(), helm.objects({"useCases": table})

    assert not [body for body in before if body["metadata"]["name"] == "tallystick-use-cases"]
    (config_map,) = (body for body in after if body["metadata"]["name"] == "tallystick-use-cases")
    assert yaml.safe_load(config_map["data"]["use-cases.yaml"]) == {"useCases": table}
    roles = [body["metadata"]["name"] for body in after if body["metadata"]["name"].startswith("tallystick-usecase")]
    assert roles == ["tallystick-usecase-press"]
    digests = [
        {pod_of(body)["annotations"][DIGEST] for body in each if "template" in body.get("spec", {})}
        for each in (before, after)
    ]
    assert (len(digests[0]), len(digests[1]), digests[0] & digests[1]) == (1, 1, set())


DIGEST = "tallystick.dev/use-cases-digest"


def pod_of(deployment: Json) -> Json:
    metadata: Json = deployment["spec"]["template"]["metadata"]
    return metadata


@BOTH
def test_further_objects_may_use_expressions(helm: Helm) -> None:
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}

    rendered = helm.objects({"extraObjects": [wanted]}, release="mine")

    assert {**wanted, "metadata": {"name": "mine-more"}} in rendered


@BOTH
@pytest.mark.parametrize("values", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.name)
def test_the_values_of_ci_are_rendered_and_linted(helm: Helm, values: Path) -> None:
    given = yaml.safe_load(values.read_text())

    assert helm.objects(given)
    assert "0 chart(s) failed" in helm.run("lint", str(CHART), "--kube-version", "1.36.0", "--values", str(values))
