"""Addresses to listen on, as HOST:PORT: read them, open them, and explain why one cannot be used."""

import asyncio
import errno
import os
import re
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from tallystick.errors import InvalidSettingError

LAST_PORT = 65535
LONGEST_NAME = 253
_FORM = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):([0-9]{1,5})")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*")
# This machine lacks the protocol or the address. A name such as `localhost` can have another one that works.
_LACKING = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
# The addresses of all interfaces: the user requests both by leaving the host out.
_EVERY = ("0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True, slots=True)
class Address:
    """A host (an IP address without brackets, a name, or "" for all IPv4 and IPv6 addresses) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host_in_url}:{self.port}"

    @property
    def host_in_url(self) -> str:
        """The host as in a URL: an IPv6 address has brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def ip(self) -> IPv4Address | IPv6Address | None:
        """The IP address; None if the host is a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_every_interface(self) -> bool:
        """Whether it stands for all addresses of this machine, of one protocol or of both."""
        return not self.host or (self.ip is not None and self.ip.is_unspecified)


def parse_address(text: str) -> Address:
    """Read `host:port`. Without a host, it is all IPv4 and IPv6 addresses of this machine.

    Raises:
        InvalidSettingError: The text does not have that form. The message has a form that is valid.
    """
    found = _FORM.fullmatch(text)
    if not found:
        if text.count(":") > 1 and "[" not in text:
            raise _invalid(text, "write an IPv6 address in brackets, such as [::1]:8443")
        raise _invalid(text, "use HOST:PORT, such as 127.0.0.1:8443")
    host, port = found[1], int(found[2])
    if port > LAST_PORT:
        raise _invalid(text, f"use a port from 1 to {LAST_PORT}")
    if host.startswith("["):
        return Address(_ipv6(text, host[1:-1]), port)
    if re.fullmatch(r"[0-9.]+", host):
        return Address(_ipv4(text, host), port)
    if host and (len(host) > LONGEST_NAME or not _NAME.fullmatch(host)):
        raise _invalid(text, "use an IP address, or a host name in ASCII without a final dot")
    return Address(host.lower(), port)


def _ipv4(text: str, host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise _invalid(text, "use an IPv4 address of four numbers, such as 127.0.0.1:8443") from None


def _ipv6(text: str, host: str) -> str:
    try:
        address = IPv6Address(host)
    except ValueError:
        address = None
    if address is None or address.scope_id:
        raise _invalid(text, "use an IPv6 address without a zone in brackets, such as [::1]:8443")
    return str(address)


def _invalid(text: str, advice: str) -> InvalidSettingError:
    return InvalidSettingError(f"{text} is not a valid address; {advice}")


async def listen_on(address: Address, *, backlog: int) -> tuple[socket.socket, ...]:
    """Listen on all addresses of a host without blocking the event loop, as `open_listeners` does."""
    return open_listeners(await asyncio.to_thread(_found, address), backlog=backlog)


def _found(address: Address) -> list[tuple[Any, ...]]:
    """Return the socket addresses of a host."""
    return [
        found
        for host in ([address.host] if address.host else _EVERY)
        for found in socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    ]


def open_listeners(found: Sequence[tuple[Any, ...]], *, backlog: int) -> tuple[socket.socket, ...]:
    """Listen on the addresses that getaddrinfo(3) found; raises OSError.

    No socket is dual-stack, so that the logs have the IPv4 address of an IPv4 client. Port 0 becomes the same free port
    for all addresses.
    """
    opened: list[socket.socket] = []
    lacking: OSError | None = None
    with ExitStack() as stack:
        for family, *_, address in dict.fromkeys(found):
            port = opened[0].getsockname()[1] if opened else address[1]
            try:
                listener = socket.create_server((address[0], port, *address[2:]), family=family, backlog=backlog)
            except OSError as error:
                if error.errno not in _LACKING:
                    raise
                lacking = lacking or error
                continue
            opened.append(stack.enter_context(listener))
            listener.setblocking(False)
        if lacking is not None and not opened:
            raise lacking
        stack.pop_all()
    return tuple(opened)


def require_listenable(address: Address, flag: str) -> None:
    """Listen on an address for a moment.

    Raises:
        InvalidSettingError: That is impossible now. The text has the reason and the flag.
    """
    try:
        for listener in open_listeners(_found(address), backlog=1):
            listener.close()
    except OSError as error:
        raise InvalidSettingError(why_not_bound(error, address, flag)) from error


def why_not_bound(error: OSError, address: Address, flag: str) -> str:
    """Return the reason why a process cannot listen on an address, and the next action."""
    if isinstance(error, socket.gaierror):
        return f"{address.host} cannot be resolved ({error.strerror}); set an address of this machine with {flag}"
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use by another process; stop it, or set another address with {flag}"
    if error.errno == errno.EACCES:
        return f"this user may not listen on {address}; choose a port above 1023 with {flag}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is not an address of this machine; choose one of its own with {flag}"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"cannot listen on {address} ({reason}); choose another address with {flag}"


def names_of_this_machine() -> tuple[str, ...]:
    """Return the host name and the IP addresses by which other machines can reach this one, as far as they show."""
    name, found = socket.gethostname(), set()
    try:
        found |= {str(address[0]) for *_, address in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except OSError:
        found.clear()
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))  # sends nothing: it only chooses the address of the route
                found.add(str(probe.getsockname()[0]))
        except OSError:
            continue
    addresses = sorted(address for address in found if "%" not in address)
    return (*((name.lower(),) if _NAME.fullmatch(name) else ()), *addresses)
