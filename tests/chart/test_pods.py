"""The pods of the chart: their flags, and what they may do on a node."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tallystick.cli import main
from tallystick.cli.settings import Settings
from tallystick.install.values_settings import NO_VALUE, VALUE_OF
from tests.chart.helms import BOTH, CHART, WHEELS, Helm, helm_of

Json = dict[str, Any]

EVERYTHING = yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text())
COMPONENTS = ("controller", "exchange")
# The settings that only one component has a flag of.
OF_CONTROLLER = {"watch_namespaces", "signing_algorithm", "key_max_age", "ca_file", "tls_service"} | {
    name for name in VALUE_OF if name.startswith("bootstrap_")
}
OF_EXCHANGE = {"connections_per_source", "failures_per_source", "max_staleness"}
MADE_BY_THE_CHART: dict[str, Any] = {
    "use_cases_file": Path("/etc/tallystick/use-cases/use-cases.yaml"),
    "ca_file": Path("/etc/tallystick/ca/ca.crt"),
    "tls_service": "",  # tls.mode is certManager
    "key_max_age": timedelta(hours=720),
}


@pytest.fixture(scope="module")
def helm_4(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """One Helm is enough where the other renders the same objects."""
    return helm_of(WHEELS[0], tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def everything(helm_4: Helm) -> list[Json]:
    """All objects, with everything on that is off by default."""
    return helm_4.objects(EVERYTHING)


@pytest.fixture(scope="module")
def by_default(helm_4: Helm) -> list[Json]:
    """All objects of the defaults."""
    return helm_4.objects()


def one(objects: list[Json], kind: str, name: str) -> Json:
    (found,) = (body for body in objects if (body["kind"], body["metadata"]["name"]) == (kind, f"tallystick-{name}"))
    return found


def pods(objects: list[Json]) -> Iterator[Json]:
    """Yield the spec of each pod."""
    for body in objects:
        if body["kind"] == "Pod":
            yield body["spec"]
        elif "template" in body.get("spec", {}):
            yield body["spec"]["template"]["spec"]


def container(objects: list[Json], component: str) -> Json:
    (found,) = one(objects, "Deployment", component)["spec"]["template"]["spec"]["containers"]
    return found  # type: ignore[no-any-return]


def settings_of(objects: list[Json], component: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings that the process of a component has with the flags of its pod."""
    found: list[Settings] = []
    monkeypatch.setattr(main, "_run", lambda settings, _: found.append(settings))
    done = CliRunner().invoke(main.app, container(objects, component)["args"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (settings,) = found
    return settings


def given(path: str) -> Any:
    found: Any = EVERYTHING
    for key in path.split("."):
        found = found[key]
    return tuple(found) if isinstance(found, list) else found


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_value_sets_its_setting(component: str, everything: list[Json], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(everything, component, monkeypatch)

    others = OF_EXCHANGE if component == "controller" else OF_CONTROLLER
    for name in VALUE_OF.keys() - others - {"requester", "bootstrap_keys"}:
        expected = MADE_BY_THE_CHART[name] if name in MADE_BY_THE_CHART else given(VALUE_OF[name])
        assert getattr(settings, name) == expected, name


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_values_of_two_choices_set_their_settings(
    component: str, helm_4: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = helm_4.objects({"requester": "ServiceAccount", "keys": {"bootstrap": False}})

    settings: Any = settings_of(rendered, component, monkeypatch)

    assert settings.requester == "ServiceAccount"
    assert component == "exchange" or settings.bootstrap_keys is False


@pytest.mark.parametrize("component", COMPONENTS)
def test_by_default_the_pods_need_no_value(
    component: str, by_default: list[Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(by_default, component, monkeypatch)

    assert settings.public_urls == ("https://tallystick-exchange.tallystick-system.svc",)
    assert settings.iss == settings.public_urls[0]
    assert settings.health_listen == ":8081"
    assert {name for name in NO_VALUE if name not in SETTINGS_OF_THE_CHART} & settings.model_fields_set == set()


SETTINGS_OF_THE_CHART = {"health_listen", "listen", "tls_cert", "tls_key"}


def test_controller_and_exchange_read_the_certificate_of_the_same_secret(
    by_default: list[Json], everything: list[Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    def secrets(objects: list[Json], component: str) -> list[tuple[str, list[str]]]:
        volumes = one(objects, "Deployment", component)["spec"]["template"]["spec"]["volumes"]
        found = (volume["secret"] for volume in volumes if "secret" in volume)
        return [(secret["secretName"], [item["key"] for item in secret["items"]]) for secret in found]

    assert secrets(by_default, "controller") == []
    assert secrets(by_default, "exchange") == [("tallystick-exchange-tls", ["tls.crt", "tls.key"])]
    assert secrets(everything, "controller") == [("tallystick-exchange-tls", ["ca.crt"])]
    settings: Any = settings_of(by_default, "controller", monkeypatch)
    assert settings.tls_service == "tallystick-exchange"


def test_a_secret_of_a_public_ca_needs_no_ca(helm_4: Helm) -> None:
    rendered = helm_4.objects({"tls": {"mode": "existingSecret", "existingSecret": "mine", "publicCA": True}})

    assert "--ca-file" not in str(container(rendered, "controller")["args"])
    assert "'secretName': 'mine'" in str(one(rendered, "Deployment", "exchange"))
    (check,) = (body for body in rendered if body["kind"] == "Pod")
    assert "ca.crt', 'path': 'ca.crt'}]}}" not in str(check["spec"]["volumes"][2:])


def test_pods_are_as_restricted_as_pod_security_asks(everything: list[Json]) -> None:
    for spec in pods(everything):
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for each in spec["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "cpu" not in each["resources"]["limits"]
            assert {"cpu", "memory"} <= each["resources"]["requests"].keys()
    assert not re.search("runAsUser|runAsGroup|fsGroup", str(everything))


def test_the_token_of_a_pod_expires_and_is_the_only_one(by_default: list[Json]) -> None:
    for spec in pods(by_default):
        (token,) = (volume["projected"] for volume in spec["volumes"] if "projected" in volume)

        assert spec["automountServiceAccountToken"] is False
        assert token["sources"][0] == {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}


def test_a_rollout_replaces_a_pod_only_by_one_that_is_ready(by_default: list[Json]) -> None:
    for component in COMPONENTS:
        spec = one(by_default, "Deployment", component)["spec"]
        (each,) = spec["template"]["spec"]["containers"]

        assert spec["replicas"] == 2
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert each["lifecycle"]["preStop"].keys() == {"sleep"}
        assert (
            each["lifecycle"]["preStop"]["sleep"]["seconds"] < spec["template"]["spec"]["terminationGracePeriodSeconds"]
        )
        assert each["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
        assert each["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
        keys = [part["topologyKey"] for part in spec["template"]["spec"]["topologySpreadConstraints"]]
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_a_single_replica_blocks_no_drain(by_default: list[Json]) -> None:
    for component in COMPONENTS:
        budget = one(by_default, "PodDisruptionBudget", component)["spec"]

        assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
        assert "minAvailable" not in budget


def test_with_the_autoscaler_the_deployment_has_no_replicas(everything: list[Json], by_default: list[Json]) -> None:
    assert "replicas" not in one(everything, "Deployment", "exchange")["spec"]
    scaler = one(everything, "HorizontalPodAutoscaler", "exchange")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert not [body for body in by_default if body["kind"] == "HorizontalPodAutoscaler"]


def test_selectors_select_the_pods_of_their_component_alone(everything: list[Json]) -> None:
    labels = {
        name: one(everything, "Deployment", name)["spec"]["template"]["metadata"]["labels"] for name in COMPONENTS
    }
    selectors = {
        (body["kind"], body["metadata"]["name"], body["metadata"]["labels"]["app.kubernetes.io/component"]): selector
        for body in everything
        if (selector := selector_of(body))
    }

    assert len(selectors) == 9
    for (kind, name, component), selector in selectors.items():
        selected = {each for each, found in labels.items() if selector.items() <= found.items()}
        assert selected == {component}, (kind, name)


def selector_of(body: Json) -> Json:
    spec = body.get("spec", {})
    if body["kind"] == "Service":
        return spec["selector"]  # type: ignore[no-any-return]
    found = spec.get("podSelector") or (spec.get("selector") if body["kind"] != "ServiceMonitor" else {}) or {}
    return found.get("matchLabels", {})  # type: ignore[no-any-return]


def test_the_network_reaches_the_api_alone(by_default: list[Json], everything: list[Json]) -> None:
    api = {"ports": [{"port": 8443, "protocol": "TCP"}]}

    assert "ingress" not in one(by_default, "NetworkPolicy", "controller")["spec"]
    assert one(by_default, "NetworkPolicy", "exchange")["spec"]["ingress"] == [api]
    assert one(by_default, "NetworkPolicy", "exchange")["spec"]["policyTypes"] == ["Ingress"]
    for component in COMPONENTS:
        spec = one(everything, "NetworkPolicy", component)["spec"]
        assert spec["ingress"][-1]["ports"] == [{"port": 8081, "protocol": "TCP"}]
        assert spec["ingress"][-1]["from"] == EVERYTHING["networkPolicies"]["metricsFrom"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert [to["ipBlock"]["cidr"] for to in spec["egress"][0]["to"]] == ["10.0.0.1/32", "fd00::1/128"]


def test_a_certificate_names_the_service_and_each_public_url(everything: list[Json]) -> None:
    spec = one(everything, "Certificate", "exchange")["spec"]

    inside = ["", ".tallystick-system", ".tallystick-system.svc", ".tallystick-system.svc.cluster.local"]
    assert spec["dnsNames"] == [*(f"tallystick-exchange{name}" for name in inside), "tokens.example"]
    assert spec["ipAddresses"] == ["192.0.2.7", "2001:db8::1"]
    assert spec["issuerRef"] == {"name": "our-ca", "kind": "ClusterIssuer", "group": "cert-manager.io"}


def test_the_exchange_is_exposed_as_the_values_say(everything: list[Json], by_default: list[Json]) -> None:
    service = one(everything, "Service", "exchange")
    ingress = one(everything, "Ingress", "exchange")["spec"]

    assert service["metadata"]["annotations"] == {"example.com/balancer": "internal"}
    assert (service["spec"]["type"], service["spec"]["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert (service["spec"]["ports"][0]["port"], service["spec"]["ports"][0]["nodePort"]) == (8443, 30443)
    assert ingress["rules"][0]["http"]["paths"][0]["backend"]["service"] == {
        "name": "tallystick-exchange",
        "port": {"name": "https"},
    }
    assert one(by_default, "Service", "exchange")["spec"]["type"] == "ClusterIP"


def test_an_image_has_its_digest_or_else_its_tag(everything: list[Json], helm_4: Helm) -> None:
    tagged = helm_4.objects({"image": {"repository": "registry.example/tally", "tag": "edge"}})

    assert container(everything, "exchange")["image"].endswith(f"/tallystick@sha256:{'0' * 64}")
    assert container(tagged, "controller")["image"] == "registry.example/tally:edge"


def test_rules_and_dashboard_read_metrics_that_exist(everything: list[Json]) -> None:
    golden = (Path(__file__).parents[1] / "unit" / "golden" / "metrics-controller.txt").read_text()
    exist = set(re.findall(r"^# TYPE (\S+)", golden, flags=re.MULTILINE))
    rule = next(body for body in everything if body["kind"] == "PrometheusRule")
    (board,) = (
        body["data"]["tallystick.json"]
        for body in everything
        if body["kind"] == "ConfigMap" and body["metadata"]["name"] == "tallystick-dashboard"
    )

    read = set(re.findall(r"\btallystick_\w+", f"{rule['spec']} {board}"))

    assert read <= exist
    assert len(read) > 8
    assert len([panel for panel in yaml.safe_load(board)["panels"] if panel["targets"]]) == 8


def test_nothing_for_prometheus_is_there_by_default(by_default: list[Json]) -> None:
    kinds = {body["kind"] for body in by_default}

    assert kinds & {"ServiceMonitor", "PrometheusRule", "Ingress", "Certificate", "ConfigMap", "Secret", "Job"} == set()


@BOTH
def test_hooks_are_those_of_the_test_alone(helm: Helm) -> None:
    hooks = {
        body["metadata"]["annotations"]["helm.sh/hook"]
        for body in helm.objects()
        if "helm.sh/hook" in body["metadata"].get("annotations", {})
    }

    assert hooks == {"test"}
