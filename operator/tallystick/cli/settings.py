"""The settings of the operator's processes: flags first, then `TALLYSTICK_*` variables, then defaults."""

import os
import re
import socket
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tallystick.api.meta import HTTPS_URL
from tallystick.crypto.keys import Algorithm
from tallystick.domain.durations import parse_duration
from tallystick.domain.errors import InvalidSettingError
from tallystick.domain.grants import IssuancePolicy
from tallystick.domain.requester import RequesterMode
from tallystick.domain.use_cases import BUILT_IN, UseCases, use_cases

DEFAULT_NAMESPACE = "tallystick-system"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
GoDuration = Annotated[timedelta, BeforeValidator(_duration)]
ADDRESS = r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]*):[0-9]{1,5}"
LAST_PORT = 65535


class Settings(BaseSettings):
    """What both processes are told."""

    model_config = SettingsConfigDict(env_prefix="TALLYSTICK_", extra="ignore", frozen=True)

    public_urls: CommaList
    issuer: str = ""
    namespace: str = ""
    use_cases_file: Path | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    requester: RequesterMode = RequesterMode.POLICY
    audit_log: str = "-"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # The controller alone.
    watch_namespaces: CommaList = ()
    signing_algorithm: Algorithm = "ES256"
    key_max_age: GoDuration = timedelta(days=90)
    ca_file: Path | None = None
    health_listen: str = "127.0.0.1:8081"

    # The exchange alone.
    listen: str = "127.0.0.1:8443"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    plain_http: bool = False
    connections_per_source: Annotated[int, Field(ge=1)] | None = None
    max_staleness: Annotated[float, Field(ge=0, le=1)] = 1.0
    replica_name: Annotated[str, Field(max_length=63, pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")] = ""

    @field_validator("public_urls")
    @classmethod
    def _are_https(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not urls:
            raise ValueError("name at least one URL under which the exchange is reached")
        for url in urls:
            if not re.fullmatch(HTTPS_URL, url):
                raise ValueError(f"{url} must be an https URL without user, query, fragment or a slash at its end")
        return urls

    @property
    def iss(self) -> str:
        """The `iss` of all tokens: `--issuer`, else the first public URL."""
        return self.issuer or self.public_urls[0]

    @property
    def own_namespace(self) -> str:
        """The namespace that the operator itself lives in."""
        if self.namespace:
            return self.namespace
        return _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else DEFAULT_NAMESPACE

    @property
    def identity(self) -> str:
        """A name for this process that no other has: the pod's, and a random part."""
        return f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{uuid.uuid4()}"

    @property
    def replica(self) -> str:
        """A name for this replica that it has again after a restart: `--replica-name`, else the pod's or the host's."""
        host = self.replica_name or os.environ.get("HOSTNAME") or socket.gethostname()
        return re.sub(r"[^a-z0-9]+", "-", host.lower())[:63].strip("-") or "exchange"

    def policy(self) -> IssuancePolicy:
        """Return what the settings say about issuing."""
        return IssuancePolicy(
            issuer=self.iss,
            external_urls=self.public_urls,
            use_cases=load_use_cases(self.use_cases_file),
            requester=self.requester,
        )


def load_use_cases(file: Path | None) -> UseCases:
    """Read the table of use cases from a file; without one, return the built-in table."""
    if file is None:
        return use_cases(BUILT_IN)
    try:
        return use_cases(yaml.safe_load(file.read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidSettingError(f"--use-cases-file {file} cannot be read: {error}") from error


def load_settings(**given: Any) -> Settings:
    """Return the settings, with those flags that were given before everything else.

    Raises:
        InvalidSettingError: one of them cannot be used; the text names the flag.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value not in (None, "", ())})
    except ValidationError as error:
        raise InvalidSettingError("; ".join(map(_problem, error.errors()))) from error


def _problem(error: ErrorDetails) -> str:
    name = str(error["loc"][0])
    flag = f"--{name.replace('_', '-')} (or TALLYSTICK_{name.upper()})"
    return (
        f"{flag} is needed" if error["type"] == "missing" else f"{flag}: {error['msg'].removeprefix('Value error, ')}"
    )


def host_and_port(address: str) -> tuple[str, int]:
    """Split `host:port`; no host means all addresses.

    Raises:
        InvalidSettingError: the text is not of that form.
    """
    host, _, port = address.rpartition(":")
    if not re.fullmatch(ADDRESS, address) or int(port) > LAST_PORT:
        raise InvalidSettingError(f"{address} is not an address to listen on; write HOST:PORT, such as 127.0.0.1:8443")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by leaving the host out
