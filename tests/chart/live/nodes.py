"""A stand-in for the kubelet: it runs the pods of Deployments as they are given, with the files of a pod in a folder.

argv, variables, projected token and mounts are those of the pod template. Only ports and paths are moved, because the
processes share one machine.
"""

import base64
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from tallystick.localplane.children import Child
from tallystick.localplane.folders import private_folder
from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports
from tests.harness.api import Api
from tests.harness.objects import must
from tests.harness.processes import poll
from tests.harness.system import REPOSITORY

Json = dict[str, Any]

STARTS_SECONDS = 120.0
_NUMBERS = itertools.count(1)


@dataclass(slots=True)
class Pod:
    """A running pod: its process, its root and its ports by the name in the template."""

    template: Json
    root: Path
    child: Child
    ports: Mapping[str, int]

    @property
    def log(self) -> str:
        return self.child.log.read_text(encoding="utf-8")

    def probe(self, which: str = "readinessProbe") -> bool:
        """Ask as the kubelet does; a connection that is refused is a no."""
        (container,) = self.template["spec"]["containers"]
        asked = container[which]["httpGet"]
        answer = self._get(self.ports[asked["port"]], asked["path"])
        return answer is not None and answer.status == HTTPStatus.OK

    def page(self, path: str) -> str:
        """Read a page of the health server; '' while it does not answer."""
        answer = self._get(self.ports["health"], path)
        return answer.data.decode() if answer is not None else ""

    @staticmethod
    def _get(port: int, path: str) -> urllib3.BaseHTTPResponse | None:
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{port}{path}", retries=False, timeout=10.0)
        except urllib3.exceptions.HTTPError:
            return None

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.child.running, self.child.exit_text()
            return self.probe()

        poll(is_ready, seconds=STARTS_SECONDS)


@dataclass(frozen=True, slots=True)
class Node:
    """Runs pods against one API server."""

    plane: ControlPlane
    api: Api
    folder: Path

    @contextmanager
    def running(self, namespace: str, deployment: str) -> Iterator[Pod]:
        """Run one replica of a Deployment for the length of the block."""
        found = self.api.kubectl("get", "deployment", deployment, "--namespace", namespace, "--output", "json")
        pod = self.start(namespace, deployment, json.loads(found)["spec"]["template"])
        try:
            yield pod
        finally:
            pod.child.stop(grace=30.0)

    def start(self, namespace: str, name: str, template: Json, services: Mapping[str, int] | None = None) -> Pod:
        """Start the container of a pod template. `services` has the port here of each `host:port` of a Service."""
        pod_name = f"{name}-{next(_NUMBERS)}"
        root = private_folder(self.folder / pod_name)
        spec = template["spec"]
        (container,) = spec["containers"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            self._mount(namespace, spec, volumes[mount["name"]], root / mount["mountPath"].lstrip("/"))
        names = [port["name"] for port in container.get("ports", ())]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        moved = {str(port["containerPort"]): str(ports[port["name"]]) for port in container.get("ports", ())}
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        arguments = [_moved(argument, root, paths, moved) for argument in container["args"]]
        assert "command" not in container, "the image has an entry point"
        command = [sys.executable, "-m", "tests.chart.live.in_root", str(root), *arguments]
        environment = self._environment(pod_name, root) | {"SERVICES": json.dumps(services or {})}
        environment |= {variable["name"]: variable["value"] for variable in container.get("env", ())}
        log = self.folder / f"{pod_name}.log"
        return Pod(template, root, Child.spawn(name, command, log=log, environment=environment), ports)

    def _environment(self, pod_name: str, root: Path) -> dict[str, str]:
        server = urlsplit(self.api.server)
        return {
            "HOSTNAME": pod_name,
            "HOME": str(root),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }

    def _mount(self, namespace: str, spec: Json, volume: Json, folder: Path) -> None:
        folder.mkdir(parents=True)
        if "projected" in volume:
            for source in volume["projected"]["sources"]:
                self._project(namespace, spec, source, folder)
        elif "secret" in volume:
            secret = {"kind": "Secret", "metadata": {"name": volume["secret"]["secretName"], "namespace": namespace}}
            # The kubelet starts no container before the Secret is there.
            data = must(poll(lambda: self.api.find(secret), seconds=STARTS_SECONDS))["data"]
            for item in volume["secret"]["items"]:
                (folder / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))
        elif "configMap" in volume:
            for key, text in self._config_map(namespace, volume["configMap"]["name"]).items():
                (folder / key).write_text(text)
        else:
            assert "emptyDir" in volume, volume

    def _project(self, namespace: str, spec: Json, source: Json, folder: Path) -> None:
        if "serviceAccountToken" in source:
            token = self.api.request_token(namespace, spec["serviceAccountName"])
            (folder / source["serviceAccountToken"]["path"]).write_text(token)
        elif "configMap" in source:
            data = self._config_map(namespace, source["configMap"]["name"])
            for item in source["configMap"]["items"]:
                (folder / item["path"]).write_text(data[item["key"]])
        else:
            (item,) = source["downwardAPI"]["items"]
            assert item["fieldRef"]["fieldPath"] == "metadata.namespace"
            (folder / item["path"]).write_text(namespace)

    def _config_map(self, namespace: str, name: str) -> dict[str, str]:
        body = {"kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}
        data: dict[str, str] = must(poll(lambda: self.api.find(body)))["data"]
        return data


def _moved(argument: str, root: Path, paths: list[str], ports: Mapping[str, str]) -> str:
    flag, sign, value = argument.partition("=")
    if any(value.startswith(f"{path}/") for path in paths):
        return f"{flag}{sign}{root}{value}"
    if value.startswith(":"):
        return f"{flag}{sign}:{ports[value[1:]]}"
    return argument
