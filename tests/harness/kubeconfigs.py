"""Kubeconfigs, the servers and files that they name, and the request that kubectl and we send for one."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallystick.errors import TallystickError
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.build import find_binaries
from tallystick.objects.ports import ClusterError
from tallystick.schema.builtin import SELF_SUBJECT_REVIEWS
from tests.harness.connect_proxy import ConnectProxy, connect_proxy
from tests.harness.odd_certificates import CLIENT, Issued, authority, issue
from tests.harness.whoami_server import WhoamiServer, whoami_server

Json = dict[str, Any]
# Only the proxy can resolve it.
HIDDEN = "api.hidden.example"
NAMED = "api.named.example"
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
CA, CA_DATA, INSECURE, NAME, PROXY = (
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "proxy-url",
)
T = {"token": "t"}

PLUGIN = """\
#!{python}
import json, os, sys
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
said = {{"kind": "ExecCredential", "apiVersion": info["apiVersion"]}}
status = {{"token": "-".join([*sys.argv[1:], os.environ.get("PLUGIN_WORD", "")])}}
mode = sys.argv[1] if len(sys.argv) > 1 else ""
if mode == "info":
    info["spec"].pop("interactive")
    status = {{"token": json.dumps(info, sort_keys=True).encode().hex()}}
if mode == "certificate":
    status = {{"clientCertificateData": open(sys.argv[2]).read(), "clientKeyData": open(sys.argv[3]).read()}}
if mode == "half":
    status = {{"clientCertificateData": open(sys.argv[2]).read()}}
if mode == "empty":
    status = {{}}
if mode == "none":
    print(json.dumps(said)); sys.exit()
if mode == "version":
    said["apiVersion"] = "client.authentication.k8s.io/v1alpha1"
if mode == "garbage":
    print("hello"); sys.exit()
if mode == "fail":
    sys.exit(3)
print(json.dumps({{**said, "status": status}}))
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The servers and files that the cases name, and the means to ask."""

    folder: Path
    kubectl: Path
    https: WhoamiServer
    http: WhoamiServer
    ca: Issued
    client: Issued
    proxy: ConnectProxy
    secured_proxy: ConnectProxy

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.https.port}"

    def text(self, value: str) -> str:
        """Fill in the names of a case."""
        names = {
            "SERVER": self.server,
            "PORT": str(self.https.port),
            "PLAIN": str(self.http.port),
            "PROXY": f"127.0.0.1:{self.proxy.port}",
            "SECURED": f"https://127.0.0.1:{self.secured_proxy.port}",
            "DIR": str(self.folder),
            "CA": str(self.ca.certificate),
            "CA_DATA": base64.b64encode(self.ca.certificate.read_bytes()).decode(),
            "CERT_DATA": base64.b64encode(self.client.certificate.read_bytes()).decode(),
            "KEY_DATA": base64.b64encode(self.client.key.read_bytes()).decode(),
        }
        for name, known in names.items():
            value = value.replace(f"${name}$", known)
        return value

    def write(self, name: str, document: Json) -> Path:
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(self.text(yaml.safe_dump(document, sort_keys=False)))
        return file

    def kubectl_says(self, *flags: str, **variables: str) -> Json | str:
        """Return what the server saw of kubectl, or kubectl's error."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **variables}
        done = subprocess.run(
            [str(self.kubectl), *flags, "auth", "whoami", "--output=json", "--request-timeout=20s"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return _seen(json.loads(done.stdout)) if done.returncode == 0 else done.stderr


@contextmanager
def kubeconfig_place(folder: Path) -> Iterator[Place]:
    """Run the servers, and write the files."""
    kubectl = find_binaries(lambda _: None).kubectl
    ca, clients = authority(folder, "ca"), authority(folder, "clients")
    server = issue(folder, "server", ca, hosts=("127.0.0.1", "localhost", HIDDEN, NAMED))
    client = issue(folder, "dana", clients, hosts=(), usage=CLIENT)
    issue(folder, "erin", clients, hosts=(), usage=CLIENT)
    plugin = folder / "plugin"
    plugin.write_text(PLUGIN.format(python=sys.executable))
    plugin.chmod(0o755)
    (folder / "token").write_text("from-file\n")
    (folder / "empty").write_text("")
    (folder / "garbage").write_text("not PEM\n")
    with ExitStack() as stack:
        https = stack.enter_context(whoami_server(server.serving(clients=clients.certificate)))
        http = stack.enter_context(whoami_server())
        names = {HIDDEN: https.port}
        proxy = stack.enter_context(connect_proxy(names=names))
        secured = stack.enter_context(connect_proxy(server.serving(), names=names))
        yield Place(folder, kubectl, https, http, ca, client, proxy, secured)


def _seen(review: Json) -> Json:
    seen: Json = json.loads(review["status"]["userInfo"]["extra"]["request"][0])
    return seen


async def review(connection: Connection) -> Json:
    """Ask, and return what the server saw."""
    async with KubeCluster(connection, field_manager="test", timeout_seconds=20.0) as cluster:
        body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": SELF_SUBJECT_REVIEWS.kind, "metadata": {}}
        return _seen(await cluster.create(SELF_SUBJECT_REVIEWS, body))


def we_say(kubeconfig: Path | None = None, context: str | None = None) -> Json | str:
    """Return what the server saw of us, or our error."""
    try:
        return asyncio.run(review(Connection(kubeconfig=kubeconfig, context=context)))
    except (TallystickError, ClusterError) as error:
        return str(error)


def a_document(cluster: Json, user: Json, **more: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "$SERVER$", "certificate-authority": "$CA$", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        **more,
    }


def an_exec(*args: str, version: str = V1, **more: Any) -> Json:
    return {
        "exec": {
            "apiVersion": version,
            "command": "$DIR$/plugin",
            "args": list(args),
            "interactiveMode": "Never",
            **more,
        }
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with kubeconfig_place(tmp_path_factory.mktemp("kubeconfigs")) as made:
        yield made


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(place.folder))
    place.proxy.targets.clear()
    place.proxy.authorizations.clear()
    place.secured_proxy.targets.clear()
