"""The values of the Helm chart. `values.yaml`, `values.schema.json` and the table of its README follow from this model.

A value that the model does not have is an error, because it would be ignored otherwise. Kubernetes' own types, such as
tolerations, are passed on as they are, and the API server checks them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from tallystick.install.values_pods import Controller, Exchange, Image
from tallystick.schema.fields import Duration
from tallystick.schema.meta import DNS_SUBDOMAIN, HTTPS_URL

Json = dict[str, Any]

_Name = Annotated[str, StringConstraints(max_length=253, pattern=rf"^$|{DNS_SUBDOMAIN}")]
_Namespace = Annotated[str, StringConstraints(max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
_Url = Annotated[str, StringConstraints(max_length=2048, pattern=HTTPS_URL)]
_IssuerUrl = Annotated[str, StringConstraints(max_length=2048, pattern=rf"^$|{HTTPS_URL}")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class UseCase(_Part):
    """One use case: what its master tokens permit."""

    scope: list[str] = Field(min_length=1, max_length=16, description="scope lists the scopes of its master tokens.")
    audience: list[str] = Field(default=[], max_length=16, description="audience lists their audiences. Default: none.")
    master_token_ttl: Duration = Field(
        default="8760h", alias="masterTokenTTL", description="masterTokenTTL is their lifetime. Default: 8760h."
    )


class Crds(_Part):
    """The CustomResourceDefinitions."""

    enabled: bool = Field(default=True, description="Install the CRDs. One release of a cluster does.")
    keep: bool = Field(
        default=True,
        description="Keep the CRDs when the release is uninstalled or rolled back. If false, Helm deletes them with "
        "every token of the cluster.",
    )


class UserRoles(_Part):
    """The ClusterRoles for people."""

    create: bool = Field(
        default=True,
        description="Create the ClusterRoles for people (tallystick-view, tallystick-edit, tallystick-usecase-NAME). "
        "Their names are fixed, so one release of a cluster creates them.",
    )


class Keys(_Part):
    """The first MasterKey and JoinKey."""

    bootstrap: bool = Field(
        default=True,
        description="Create MasterKey and JoinKey `default` at the first start, in the release's namespace.",
    )
    master_key_secret: _Name = Field(
        default="", description="Secret with your own key for MasterKey `default`. Default: none; it is generated."
    )
    join_key_secret: _Name = Field(
        default="", description="Secret with your own key for JoinKey `default`. Default: none; it is generated."
    )


class Bootstrap(_Part):
    """The first admin token."""

    generation: int = Field(
        default=1,
        ge=0,
        le=1_000_000_000,
        description="Number of the first admin token. Raise it by 1 to permit another one; 0 permits none.",
    )
    token_delete_in_minutes: int = Field(
        default=1, ge=1, le=15, description="Minutes after which the Secret with the admin token is deleted."
    )


class SigningKeys(_Part):
    """The keys that sign tokens."""

    algorithm: Literal["ES256", "RS256"] = Field(default="ES256", description="Algorithm of new signing keys.")
    max_age: Duration = Field(default="2160h", description="Age at which the controller rotates the signing key.")


class IssuerRef(_Part):
    """An issuer of cert-manager."""

    name: _Name = Field(default="", description="Name of the issuer. Required with tls.mode certManager.")
    kind: str = Field(default="Issuer", min_length=1, description="Kind of the issuer: Issuer or ClusterIssuer.")
    group: str = Field(default="cert-manager.io", min_length=1, description="API group of the issuer.")


class CertManager(_Part):
    """The certificate of cert-manager."""

    issuer_ref: IssuerRef = Field(default=IssuerRef(), description="The issuer of the certificate.")
    duration: Duration = Field(default="2160h", description="Lifetime of the certificate.")
    renew_before: Duration = Field(default="720h", description="Time before its end at which it is renewed.")


class Tls(_Part):
    """The certificate of the exchange."""

    mode: Literal["operator", "certManager", "existingSecret"] = Field(
        default="operator",
        description="Source of the certificate of the exchange. `operator`: the controller makes a CA and renews the "
        "certificate. `certManager`: a Certificate. `existingSecret`: your own Secret.",
    )
    existing_secret: _Name = Field(
        default="",
        description="Secret (kubernetes.io/tls) with tls.crt, tls.key and ca.crt. Required with mode existingSecret.",
    )
    public_ca: bool = Field(
        default=False,
        alias="publicCA",
        description="Set true if clients trust the CA of the certificate already. The Secrets of tokens then have no "
        "ca.crt. Used with modes certManager and existingSecret.",
    )
    cert_manager: CertManager = Field(default=CertManager(), description="The Certificate of mode certManager.")


class NetworkPolicies(_Part):
    """The NetworkPolicies."""

    enabled: bool = Field(
        default=True,
        description="Permit only port 8443 of the exchange from all, and port 8081 (metrics) from `metricsFrom`.",
    )
    metrics_from: list[Json] = Field(
        default=[], description="Peers (NetworkPolicyPeer) that may read /metrics on port 8081. Default: none."
    )
    api_server_cidrs: list[str] = Field(
        default=[],
        alias="apiServerCIDRs",
        description="Addresses of the API server, such as 10.0.0.1/32. If set, the pods may connect only to them. "
        "Default: egress is not restricted.",
    )
    api_server_ports: list[Annotated[int, Field(ge=1, le=65535)]] = Field(
        default=[443, 6443], min_length=1, description="Ports of the API server, for `apiServerCIDRs`."
    )


class Monitor(_Part):
    """An object for Prometheus or Grafana."""

    enabled: bool = Field(default=False, description="Create it. The cluster must serve its kind.")
    labels: dict[str, str] = Field(default={}, description="Labels by which your Prometheus or Grafana selects it.")


class ServiceMonitor(Monitor):
    """A ServiceMonitor of the Prometheus operator."""

    interval: Duration = Field(default="30s", description="Interval between two reads of /metrics.")


class Metrics(_Part):
    """Objects for Prometheus and Grafana."""

    service_monitor: ServiceMonitor = Field(
        default=ServiceMonitor(), description="A ServiceMonitor, and the Service that it reads."
    )
    prometheus_rule: Monitor = Field(default=Monitor(), description="A PrometheusRule with alerts.")
    dashboard: Monitor = Field(
        default=Monitor(labels={"grafana_dashboard": "1"}), description="A ConfigMap with a dashboard for Grafana."
    )


class PodDisruptionBudgets(_Part):
    """The PodDisruptionBudgets."""

    enabled: bool = Field(
        default=True, description="Permit one unavailable pod each of controller and exchange while nodes are drained."
    )


class Values(_Part):
    """The values of the chart."""

    public_urls: Annotated[list[_Url], Field(max_length=32)] = Field(
        default=[],
        alias="publicURLs",
        description="https URLs of the exchange for clients. The first one is the issuer of all tokens, unless "
        "`issuer` is set. Default: https://RELEASE-exchange.NAMESPACE.svc.",
    )
    issuer: _IssuerUrl = Field(
        default="",
        description="Issuer (`iss` claim) of all tokens. It cannot be changed after the first start. "
        "Default: the first value of publicURLs.",
    )
    watch_namespaces: Annotated[list[_Namespace], Field(max_length=256)] = Field(
        default=[],
        json_schema_extra={"uniqueItems": True},
        description="Namespaces to serve. If set, no ClusterRole permits to read Secrets. Default: all.",
    )
    requester: Literal["Policy", "ServiceAccount"] = Field(
        default="Policy",
        description="Subject of pairing tokens: the user who requests them (Policy, needs Kubernetes 1.36), or a "
        "ServiceAccount of their namespace.",
    )
    use_cases: dict[Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9-]{0,62}$")], UseCase] = Field(
        default={},
        description="Use cases by name. If set, they replace the built-in table (mission-control, artifactory-cold, "
        "federated-repo). Default: the built-in table.",
    )
    crds: Crds = Field(default=Crds(), description="The CustomResourceDefinitions.")
    user_roles: UserRoles = Field(default=UserRoles(), description="The ClusterRoles for people.")
    keys: Keys = Field(default=Keys(), description="The first MasterKey and JoinKey. The chart itself contains no key.")
    bootstrap: Bootstrap = Field(default=Bootstrap(), description="The first admin token.")
    signing_keys: SigningKeys = Field(default=SigningKeys(), description="The keys that sign tokens.")
    tls: Tls = Field(default=Tls(), description="The certificate of the exchange.")
    image: Image = Field(default=Image(), description="The image of controller, exchange and check.")
    image_pull_secrets: list[Json] = Field(
        default=[], description="References to Secrets for the registry, such as {name: registry}. Default: none."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Lowest level that controller and exchange log."
    )
    controller: Controller = Field(default=Controller(), description="The Deployment of the controller.")
    exchange: Exchange = Field(default=Exchange(), description="The exchange: its Deployment, Service and Ingress.")
    pod_disruption_budgets: PodDisruptionBudgets = Field(
        default=PodDisruptionBudgets(), description="The PodDisruptionBudgets."
    )
    network_policies: NetworkPolicies = Field(default=NetworkPolicies(), description="The NetworkPolicies.")
    metrics: Metrics = Field(default=Metrics(), description="Objects for Prometheus and Grafana.")
    extra_objects: list[Json] = Field(
        default=[], description="Further objects. Their texts may use expressions of Helm. Default: none."
    )


SUBCHART_KEYS: dict[str, Json] = {
    "global": {"type": "object", "description": "Values of the parent chart. This chart reads none."},
    "enabled": {"type": "boolean", "description": "Read by a parent chart (`condition`), not by this chart."},
}
"""Keys that Helm or a parent chart adds at the root."""
