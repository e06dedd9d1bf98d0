"""The proxy for a URL: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as kubectl and curl read them. Loopback has none."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from tallystick.errors import InvalidSettingError

# Go's order (x/net/http/httpproxy), which kubectl uses: the first variable that is not empty.
_VARIABLES = {"https": ("HTTPS_PROXY", "https_proxy"), "http": ("HTTP_PROXY", "http_proxy")}
_NO_PROXY = ("NO_PROXY", "no_proxy")
_PORTS = {"https": 443, "http": 80}
ALL_PROXY = ("ALL_PROXY", "all_proxy")
SUPPORTED = ("http", "https")


def environment_proxy(url: str, environment: Mapping[str, str], *, fallback: Sequence[str] = ()) -> str | None:
    """Return the URL of the proxy for a URL, or None for a direct connection.

    Args:
        url: The URL of a request.
        environment: The variables of the process.
        fallback: More variables for all schemes, such as `ALL_PROXY`, which curl reads and kubectl does not.

    Raises:
        InvalidSettingError: A variable has a value that cannot be used. The text names the variable.
    """
    parts = urlsplit(url)
    name = next((one for one in (*_VARIABLES.get(parts.scheme, ()), *fallback) if environment.get(one)), None)
    if name is None or _is_direct(parts, next((environment[one] for one in _NO_PROXY if environment.get(one)), "")):
        return None
    return checked_proxy(environment[name], name)


def checked_proxy(value: str, name: str) -> str:
    """Return the URL of a proxy. Without a scheme, it is http.

    Raises:
        InvalidSettingError: The proxy is not one of http or https. The text has its name, and no password.
    """
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise InvalidSettingError(f"{name} is not the URL of a proxy; use http://HOST:PORT") from None
    if parts.scheme not in SUPPORTED:
        raise InvalidSettingError(
            f"{name} has the scheme {parts.scheme}, which is not supported; use a proxy of http or https"
        )
    if not usable:
        raise InvalidSettingError(f"{name} is not the URL of a proxy; use http://HOST:PORT")
    return url


def without_password(proxy: str) -> str:
    """Return the URL of a proxy for a message."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _is_direct(url: SplitResult, exceptions: str) -> bool:
    host = (url.hostname or "").rstrip(".")
    if host == "localhost" or _is_loopback(host):
        return True
    port = url.port or _PORTS[url.scheme]
    entries = [entry for entry in re.split(r"[,\s]+", exceptions.lower()) if entry]
    return any(_covers(entry, host, port) for entry in entries)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_loopback


def _covers(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of NO_PROXY covers a host. It is `*`, an address, a network or a domain."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, _, wanted = entry.rpartition(":")
    if not name or not wanted.isdigit() or _address(entry) is not None:
        name, wanted = entry, ""
    if wanted and int(wanted) != port:
        return False
    literal = _address(name.strip("[]"))
    if literal is not None or address is not None:
        return literal == address
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
