"""The entries of a kubeconfig, field by field as in its schema (v1.Config). Unknown fields have no effect."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tallystick.errors import InvalidSettingError

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class KubeconfigError(InvalidSettingError):
    """A kubeconfig cannot be used. The text names file and field, and contains no value of a credential."""


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except binascii.Error:
        raise ValueError("must be base64") from None


Data = Annotated[bytes, BeforeValidator(_decoded)]


def _hyphenated(name: str) -> str:
    return name.replace("_", "-")


class _Entry(BaseModel):
    """A part of the schema. As for kubectl, null is the same as a field that is absent."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", alias_generator=_hyphenated, validate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value


class Extension(_Entry):
    """Data of another program."""

    name: str = ""
    extension: Any = None


class Cluster(_Entry):
    """The API server, and how to reach it."""

    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: Data = b""
    proxy_url: str = Field(default="", repr=False)
    disable_compression: bool = False
    extensions: tuple[Extension, ...] = Field(default=(), strict=False)

    def resolved(self, folder: Path) -> "Cluster":
        """Return the entry with paths that are relative to the folder of its file."""
        return self.model_copy(update={"certificate_authority": _path(folder, self.certificate_authority)})


class ExecVariable(_Entry):
    """A variable of the environment of a plugin."""

    name: str = ""
    value: str = Field(default="", repr=False)


class Exec(_Entry):
    """A program that returns credentials."""

    command: str = ""
    args: tuple[str, ...] = Field(default=(), strict=False)
    env: tuple[ExecVariable, ...] = Field(default=(), strict=False)
    api_version: str = Field(default="", alias="apiVersion")
    install_hint: str = Field(default="", alias="installHint")
    provide_cluster_info: bool = Field(default=False, alias="provideClusterInfo")
    interactive_mode: Literal["", "Never", "IfAvailable", "Always"] = Field(default="", alias="interactiveMode")


class User(_Entry):
    """The credentials, and the user to impersonate."""

    client_certificate: str = ""
    client_certificate_data: Data = b""
    client_key: str = ""
    client_key_data: Data = Field(default=b"", repr=False)
    token: str = Field(default="", repr=False)
    token_file: str = Field(default="", alias="tokenFile")
    impersonated_user: str = Field(default="", alias="as")
    as_uid: str = ""
    as_groups: tuple[str, ...] = Field(default=(), strict=False)
    as_user_extra: dict[str, list[str]] = {}
    username: str = ""
    password: str = Field(default="", repr=False)
    auth_provider: dict[str, Any] | None = Field(default=None, repr=False)
    exec: Exec | None = None

    @property
    def has_certificate(self) -> bool:
        """Whether the entry has a client certificate and its key."""
        certificate = self.client_certificate or self.client_certificate_data
        return bool(certificate and (self.client_key or self.client_key_data))

    def resolved(self, folder: Path) -> "User":
        """Return the entry with paths that are relative to the folder of its file."""
        changed: dict[str, Any] = {
            name: _path(folder, getattr(self, name)) for name in ("client_certificate", "client_key", "token_file")
        }
        if self.exec is not None and "/" in self.exec.command:  # else the command is searched for in PATH
            changed["exec"] = self.exec.model_copy(update={"command": _path(folder, self.exec.command)})
        return self.model_copy(update=changed)


class Context(_Entry):
    """A cluster, a user, and the namespace in which a user of kubectl works."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class Named(_Entry):
    """An entry of a list: its name decides."""

    name: str = ""


class NamedCluster(Named):
    """A cluster with its name."""

    cluster: Cluster = Cluster()


class NamedUser(Named):
    """A user with its name."""

    user: User = User()


class NamedContext(Named):
    """A context with its name."""

    context: Context = Context()


class KubeconfigFile(_Entry):
    """One kubeconfig file."""

    kind: Literal["Config", ""] = "Config"
    api_version: Literal["v1", ""] = Field(default="v1", alias="apiVersion")
    current_context: str = ""
    clusters: list[NamedCluster] = []
    users: list[NamedUser] = []
    contexts: list[NamedContext] = []


def cluster_document(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster as it is written to a kubeconfig."""
    document = cluster.model_dump(by_alias=True, exclude_defaults=True)
    if cluster.certificate_authority_data:
        document["certificate-authority-data"] = base64.b64encode(cluster.certificate_authority_data).decode()
    return document


def _path(folder: Path, value: str) -> str:
    return str(folder / value) if value else ""


def cluster_problems(cluster: Cluster) -> list[str]:
    """Return why kubectl would reject a cluster; each text names the field, and what to do."""
    authority = cluster.certificate_authority or cluster.certificate_authority_data
    checks: Mapping[str, object] = {
        "server is not set": not cluster.server,
        "certificate-authority and certificate-authority-data are both set; remove one": (
            cluster.certificate_authority and cluster.certificate_authority_data
        ),
        "insecure-skip-tls-verify and a certificate authority are both set; remove one": (
            cluster.insecure_skip_tls_verify and authority
        ),
    }
    return [text for text, wrong in checks.items() if wrong]


def user_problems(user: User) -> list[str]:
    """Return why kubectl would reject a user; each text names the field, and what to do."""
    certificate = user.client_certificate or user.client_certificate_data
    provider = (user.auth_provider or {}).get("name", "")
    checks: Mapping[str, object] = {
        f"auth-provider {provider} is not supported; use an exec plugin instead": user.auth_provider is not None,
        "token and username are both set; remove one": user.token and (user.username or user.password),
        "tokenFile and username are both set; remove one": user.token_file and user.username,
        "client-certificate and client-certificate-data are both set; remove one": (
            user.client_certificate and user.client_certificate_data
        ),
        "client-key and client-key-data are both set; remove one": (
            certificate and user.client_key and user.client_key_data
        ),
        "client-key or client-key-data is missing for the client certificate": certificate and not user.has_certificate,
        "as-uid, as-groups and as-user-extra need as; set it": (
            (user.as_uid or user.as_groups or user.as_user_extra) and not user.impersonated_user
        ),
    }
    return [text for text, wrong in checks.items() if wrong] + (_exec_problems(user.exec) if user.exec else [])


def _exec_problems(plugin: Exec) -> list[str]:
    checks: Mapping[str, object] = {
        "exec.command is not set": not plugin.command,
        f"exec.apiVersion must be one of: {', '.join(EXEC_VERSIONS)}": plugin.api_version not in EXEC_VERSIONS,
        "exec.interactiveMode must be one of: Never, IfAvailable, Always": (
            plugin.api_version == EXEC_VERSIONS[0] and not plugin.interactive_mode
        ),
        "exec.env has an entry without a name": any(not variable.name for variable in plugin.env),
    }
    return [text for text, wrong in checks.items() if wrong]
