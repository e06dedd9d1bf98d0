"""The values of the Helm chart that form the pods, the Service and the Ingress."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Json = dict[str, Any]

# docs/performance.md: an empty process has 88 MB, 10,000 tokens add 23 MB, 3,000 configurations 12 MB, and 100,000
# devices 94 MB for their index. An exchange has 92 MB after 3,000 redemptions. The limit leaves as much again for the
# first listing and for requests.
_MEMORY = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Image(_Part):
    """The container image."""

    repository: str = Field(
        default="ghcr.io/tallystick/tallystick", min_length=1, description="Repository of the image."
    )
    tag: str = Field(default="", description="Tag of the image. Default: the appVersion of the chart.")
    digest: Annotated[str, StringConstraints(pattern="^$|^sha256:[0-9a-f]{64}$")] = Field(
        default="", description="Digest of the image, such as sha256:... If set, the tag is not used. Default: none."
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When a node pulls the image."
    )


class _Deployment(_Part):
    """The part of a Deployment that both components have."""

    resources: Json = Field(
        default=_MEMORY,
        description="Requests and limits of the container. There is no limit of CPU, because it would delay requests.",
    )
    extra_env: list[Json] = Field(
        default=[], description="Further environment variables (EnvVar), such as HTTPS_PROXY. Default: none."
    )
    pod_annotations: dict[str, str] = Field(default={}, description="Further annotations of the pods. Default: none.")
    pod_labels: dict[str, str] = Field(default={}, description="Further labels of the pods. Default: none.")
    node_selector: dict[str, str] = Field(default={}, description="Labels of nodes for the pods. Default: any node.")
    tolerations: list[Json] = Field(default=[], description="Tolerations of the pods. Default: none.")
    affinity: Json = Field(default={}, description="Affinity of the pods. Default: none.")
    priority_class_name: str = Field(default="", description="PriorityClass of the pods. Default: none.")


class Controller(_Deployment):
    """The Deployment of the controller."""

    replicas: int = Field(default=2, ge=1, le=10, description="Number of replicas. One leads, and the others stand by.")


class Autoscaling(_Part):
    """The HorizontalPodAutoscaler of the exchange."""

    enabled: bool = Field(
        default=False, description="Create a HorizontalPodAutoscaler. The Deployment then has no `replicas`."
    )
    min_replicas: int = Field(default=2, ge=1, le=1000, description="Minimum number of replicas.")
    max_replicas: int = Field(default=10, ge=1, le=1000, description="Maximum number of replicas.")
    target_cpu_utilization_percentage: int = Field(
        default=70,
        ge=1,
        le=1000,
        alias="targetCPUUtilizationPercentage",
        description="Mean CPU use, in percent of the request, above which replicas are added.",
    )


class Service(_Part):
    """The Service of the exchange."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="Type of the Service."
    )
    port: int = Field(default=443, ge=1, le=65535, description="Port of the Service.")
    node_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of each node, with type NodePort or LoadBalancer. 0: any free port.",
    )
    annotations: dict[str, str] = Field(default={}, description="Annotations of the Service. Default: none.")
    external_traffic_policy: Literal["", "Cluster", "Local"] = Field(
        default="",
        description="`Local` keeps the address of the client, by which failures and connections are limited. "
        "Default: that of Kubernetes, Cluster.",
    )
    ip_family_policy: Literal["", "SingleStack", "PreferDualStack", "RequireDualStack"] = Field(
        default="", description="IP families of the Service. Default: that of Kubernetes, SingleStack."
    )


class Ingress(_Part):
    """The Ingress of the exchange."""

    enabled: bool = Field(
        default=False,
        description="Create an Ingress. Its controller must connect to the exchange by HTTPS; most need an annotation.",
    )
    class_name: str = Field(default="", description="IngressClass. Default: that of the cluster.")
    annotations: dict[str, str] = Field(default={}, description="Annotations of the Ingress. Default: none.")
    hosts: list[Annotated[str, StringConstraints(min_length=1, max_length=253)]] = Field(
        default=[], description="Host names. List them in publicURLs, too. Required if the Ingress is enabled."
    )
    tls_secret: str = Field(
        default="", description="Secret with the certificate of the hosts. Default: that of the Ingress controller."
    )


class Exchange(_Deployment):
    """The exchange: its Deployment, Service and Ingress."""

    replicas: int = Field(default=2, ge=1, le=1000, description="Number of replicas, unless autoscaling is enabled.")
    connections_per_source: int = Field(
        default=64,
        ge=1,
        description="Maximum number of connections of one IP address. Raise it if clients share an address, as behind "
        "a proxy.",
    )
    failures_per_source: int = Field(
        default=20,
        ge=1,
        description="Number of failed requests of one IP address at once; a quarter of it comes back each second. "
        "Raise it if clients share an address.",
    )
    max_staleness: float = Field(
        default=1.0, ge=0, le=1, description="Maximum age, in seconds, of a cached read of the API server."
    )
    autoscaling: Autoscaling = Field(default=Autoscaling(), description="The HorizontalPodAutoscaler.")
    service: Service = Field(default=Service(), description="The Service.")
    ingress: Ingress = Field(default=Ingress(), description="The Ingress.")
