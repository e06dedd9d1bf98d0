"""Where the API server is and how to prove who we are: in a pod, by kubeconfig, or by a context of it.

The `kubernetes` library reads the configuration (exec plugins, OIDC, files); we take its server, certificates
and bearer token, and make sessions of our own from them.
"""

import asyncio
import ssl
import time
from pathlib import Path

import aiohttp
import urllib3.util
from kubernetes import config as kubernetes_config
from kubernetes.client import Configuration

from tallystick.domain.errors import InvalidSettingError

# ServiceAccount tokens are rotated on disk well before they expire; the kubelet and client-go re-read as often.
REREAD_SECONDS = 60.0


class Connection:
    """One API server and one identity. The bearer token is read again every minute, as it is rotated on disk."""

    def __init__(self, *, kubeconfig: Path | None = None, context: str | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._configuration = self._load()
        self._bearer = _bearer_of(self._configuration)
        self._read_at = time.monotonic()
        self.server = self._configuration.host.rstrip("/")
        self.ssl_context = _ssl_context(self._configuration)

    def _load(self) -> Configuration:
        configuration = Configuration()
        try:
            if self._kubeconfig is None and self._context is None and _in_a_pod():
                kubernetes_config.load_incluster_config(client_configuration=configuration)
            else:
                kubernetes_config.load_kube_config(
                    config_file=str(self._kubeconfig) if self._kubeconfig else None,
                    context=self._context,
                    client_configuration=configuration,
                )
        except kubernetes_config.ConfigException as error:
            raise InvalidSettingError(
                f"no usable connection to a cluster: {error}; set KUBECONFIG or pass --kubeconfig"
            ) from error
        return configuration

    @property
    def ca_pem(self) -> str | None:
        """The CA that the API server's certificate is checked with; None for those of the system."""
        path = self._configuration.ssl_ca_cert
        return Path(path).read_text() if path else None

    async def authorization(self) -> str | None:
        """Return the `Authorization` header, or None where a client certificate speaks for us."""
        if time.monotonic() - self._read_at > REREAD_SECONDS:
            self._configuration = await asyncio.to_thread(self._load)
            self._bearer = _bearer_of(self._configuration)
            self._read_at = time.monotonic()
        return self._bearer

    def session(self, *, limit: int = 64, authorised: bool = True) -> aiohttp.ClientSession:
        """Make a session for this server. The caller closes it.

        Args:
            limit: how many connections it may open at once.
            authorised: whether it says by itself who we are; else the caller sets the header, which costs less.
        """

        async def authorise(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            value = await self.authorization()
            if value is not None:
                request.headers["Authorization"] = value
            return await handler(request)

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, ssl=self.ssl_context),
            middlewares=(authorise,) if authorised else (),
            headers={"User-Agent": "tallystick"},
        )


def _bearer_of(configuration: Configuration) -> str | None:
    """Read the token out of a configuration; the library looks at the whole environment each time it is asked."""
    value: str | None = configuration.auth_settings().get("BearerToken", {}).get("value")
    return value


def _in_a_pod() -> bool:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()


def _ssl_context(configuration: Configuration) -> ssl.SSLContext | bool:
    if urllib3.util.parse_url(configuration.host).scheme != "https":
        return False
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Clusters made by older tools have certificates that RFC 5280's strict form refuses (no key identifiers).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
