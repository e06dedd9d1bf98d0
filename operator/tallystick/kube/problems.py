"""Reasons why an HTTP request had no response, each with the next action."""

import ssl

import aiohttp

from tallystick.kube.proxies import without_password
from tallystick.kube.tls import TlsSettings, is_tls_problem, tls_problem


def connection_problem(error: BaseException, settings: TlsSettings, peer: str, proxy: str | None) -> str:
    """Return the reason of an error of aiohttp or of a socket.

    Args:
        error: The error. Its own text is not used, since it contains URLs.
        settings: The settings that the next action can name.
        peer: The server, as HOST:PORT.
        proxy: The URL of the proxy, or None.
    """
    name = type(error).__name__
    by_proxy = without_password(proxy) if proxy else ""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy {by_proxy} rejected the connection to {peer} with HTTP status {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy {by_proxy} did not respond ({name}); check the proxy, or add the host to NO_PROXY"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host name of {by_proxy or peer} cannot be resolved ({name}); check {settings.address}"
    if is_tls_problem(error):
        through = f" or of the proxy {by_proxy}" if by_proxy.startswith("https:") else ""
        return tls_problem(error, settings, f"{peer}{through}")
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return f"{error.strerror} ({name}); check {settings.address}"
    return name
