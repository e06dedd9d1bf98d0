"""Credential plugins of a kubeconfig (field `exec`): programs that return a token or a client certificate."""

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tallystick.kube.kubeconfig_entries import EXEC_VERSIONS, Cluster, Exec, KubeconfigError

# An extension with this name is the configuration of the plugin for this cluster.
_EXTENSION = "client.authentication.k8s.io/exec"
# A plugin that asks the user may take as long as the user does.
PLUGIN_SECONDS = 60.0


class PluginError(KubeconfigError):
    """The plugin returned no credentials. The text names it, and contains none of its output."""


@dataclass(frozen=True, slots=True)
class PluginCredentials:
    """The answer of a plugin."""

    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = field(default="", repr=False)
    expiry: datetime | None = None


def _null_is_empty(value: object) -> object:
    return "" if value is None else value


_Text = Annotated[str, BeforeValidator(_null_is_empty)]


class _Status(BaseModel):
    model_config = ConfigDict(extra="ignore")

    token: _Text = Field(default="", repr=False)
    certificate: _Text = Field(default="", alias="clientCertificateData")
    key: _Text = Field(default="", alias="clientKeyData", repr=False)
    expiry: AwareDatetime | None = Field(default=None, alias="expirationTimestamp")


class _ExecCredential(BaseModel):
    model_config = ConfigDict(extra="ignore")

    kind: Literal["ExecCredential"]
    version: str = Field(alias="apiVersion")
    status: _Status


def find_plugin(plugin: Exec) -> str:
    """Return the path of the program of a plugin.

    Raises:
        PluginError: It does not exist, or cannot be run. The text has the hint of the kubeconfig.
    """
    path = shutil.which(plugin.command)
    if path is None:
        hint = " ".join(plugin.install_hint.split())
        raise PluginError(f"exec plugin {plugin.command} is not installed{f'; {hint}' if hint else ''}")
    return path


def run_plugin(plugin: Exec, cluster: Cluster) -> PluginCredentials:
    """Run a plugin, and return its credentials. Its standard error is that of this process.

    Raises:
        PluginError: It failed, or returned no credentials.
    """
    terminal = sys.stdin is not None and sys.stdin.isatty()
    mode = plugin.interactive_mode or "IfAvailable"
    if mode == "Always" and not terminal:
        raise PluginError(f"exec plugin {plugin.command} needs a terminal, and standard input is none")
    interactive = terminal and mode != "Never"
    info = {
        "kind": "ExecCredential",
        "apiVersion": plugin.api_version,
        "spec": {"interactive": interactive, **_cluster_info(plugin, cluster)},
    }
    variables = {one.name: one.value for one in plugin.env} | {"KUBERNETES_EXEC_INFO": json.dumps(info)}
    try:
        done = subprocess.run(  # noqa: S603 - the program that the user's kubeconfig names, without a shell
            [find_plugin(plugin), *plugin.args],
            env={**os.environ, **variables},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=None if interactive else PLUGIN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PluginError(f"exec plugin {plugin.command} did not end within {PLUGIN_SECONDS:.0f} s") from None
    except OSError as error:
        raise PluginError(f"exec plugin {plugin.command} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        raise PluginError(f"exec plugin {plugin.command} failed with exit status {done.returncode}")
    return _returned(plugin, done.stdout)


def _returned(plugin: Exec, output: bytes) -> PluginCredentials:
    try:
        credential = _ExecCredential.model_validate_json(output)
    except ValidationError:
        # `from None`: the cause quotes the output.
        raise PluginError(f"exec plugin {plugin.command} did not return an ExecCredential with a status") from None
    status = credential.status
    if credential.version != plugin.api_version:
        wanted = " or ".join(EXEC_VERSIONS)
        raise PluginError(
            f"exec plugin {plugin.command} returned an apiVersion other than {plugin.api_version}; "
            f"set exec.apiVersion to the version of the plugin ({wanted})"
        )
    if bool(status.certificate) != bool(status.key):
        raise PluginError(f"exec plugin {plugin.command} returned a certificate without its key, or the reverse")
    if not status.token and not status.certificate:
        raise PluginError(f"exec plugin {plugin.command} returned neither a token nor a certificate")
    return PluginCredentials(status.token, status.certificate, status.key, status.expiry)


def _cluster_info(plugin: Exec, cluster: Cluster) -> dict[str, Any]:
    if not plugin.provide_cluster_info:
        return {}
    info: dict[str, Any] = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode(cluster.certificate_authority_data).decode(),
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": next((one.extension for one in cluster.extensions if one.name == _EXTENSION), None),
    }
    return {"cluster": {name: value for name, value in info.items() if value}}
