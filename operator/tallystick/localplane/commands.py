"""The command lines of the three servers, and the audit policy. Everything listens on 127.0.0.1 only."""

from dataclasses import dataclass

from tallystick.localplane.build import Binaries
from tallystick.localplane.home import Layout
from tallystick.localplane.pki import Pki

ISSUER = "https://kubernetes.default.svc"
SERVICE_RANGE = "10.0.0.0/24"
# What matters without nodes: the rest of the controllers would only watch kinds that nobody uses here.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
)
# Writes are counted in this log, so every write has one line and no read has any.
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the servers listen on loopback."""

    api_server: int
    etcd_client: int
    etcd_peer: int
    manager: int


def etcd_command(binaries: Binaries, pki: Pki, layout: Layout, ports: Ports, *, durable: bool) -> list[str]:
    """etcd, which talks to holders of a client certificate of its own authority alone (S26).

    Args:
        binaries: The programs.
        pki: The certificates.
        layout: The data folder.
        ports: Where to listen.
        durable: Whether a power cut must not lose a write.
    """
    client, peer = f"https://127.0.0.1:{ports.etcd_client}", f"https://127.0.0.1:{ports.etcd_peer}"
    certificate, key, authority = pki.etcd_server.certificate, pki.etcd_server.key, pki.etcd_ca.certificate
    return [
        str(binaries.etcd),
        "--name=tallystick",
        f"--data-dir={layout.etcd}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=tallystick={peer}",
        f"--cert-file={certificate}",
        f"--key-file={key}",
        f"--trusted-ca-file={authority}",
        "--client-cert-auth=true",
        f"--peer-cert-file={certificate}",
        f"--peer-key-file={key}",
        f"--peer-trusted-ca-file={authority}",
        "--peer-client-cert-auth=true",
        "--log-level=warn",
        f"--unsafe-no-fsync={'false' if durable else 'true'}",
    ]


def api_server_command(binaries: Binaries, pki: Pki, layout: Layout, ports: Ports) -> list[str]:
    """kube-apiserver with RBAC, ServiceAccount tokens and the log of writes."""
    return [
        str(binaries.kube_apiserver),
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        # The default refuses to publish a loopback address as the endpoint of `kubernetes.default`.
        "--endpoint-reconciler-type=none",
        f"--secure-port={ports.api_server}",
        f"--tls-cert-file={pki.api_server.certificate}",
        f"--tls-private-key-file={pki.api_server.key}",
        f"--client-ca-file={pki.ca.certificate}",
        f"--etcd-servers=https://127.0.0.1:{ports.etcd_client}",
        f"--etcd-cafile={pki.etcd_ca.certificate}",
        f"--etcd-certfile={pki.etcd_client.certificate}",
        f"--etcd-keyfile={pki.etcd_client.key}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--api-audiences={ISSUER}",
        f"--service-account-key-file={pki.service_account.certificate}",
        f"--service-account-signing-key-file={pki.service_account.key}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-maxsize=256",
        "--audit-log-maxbackup=1",
        "--profiling=false",
    ]


def controller_manager_command(binaries: Binaries, pki: Pki, layout: Layout, ports: Ports) -> list[str]:
    """kube-controller-manager, each controller under its own ServiceAccount."""
    return [
        str(binaries.kube_controller_manager),
        f"--kubeconfig={layout.manager_kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki.service_account.key}",
        f"--root-ca-file={pki.ca.certificate}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.manager}",
        f"--tls-cert-file={pki.controller_manager.certificate}",
        f"--tls-private-key-file={pki.controller_manager.key}",
        f"--client-ca-file={pki.ca.certificate}",
        "--profiling=false",
    ]
