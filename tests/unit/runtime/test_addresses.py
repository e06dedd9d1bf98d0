"""Addresses to listen on: which are valid, and what is said of one that cannot work."""

import errno
import socket

import pytest

from tallystick.errors import InvalidSettingError
from tallystick.runtime import addresses
from tallystick.runtime.addresses import (
    Address,
    listen_on,
    names_of_this_machine,
    open_listeners,
    parse_address,
    require_listenable,
    why_not_bound,
)

EVERY = "0.0.0.0"  # noqa: S104 - a text


@pytest.mark.parametrize(
    ("text", "host", "shown"),
    [
        ("127.0.0.1:8443", "127.0.0.1", "127.0.0.1:8443"),
        (":8443", "", ":8443"),
        (f"{EVERY}:8443", EVERY, f"{EVERY}:8443"),
        ("[::1]:8443", "::1", "[::1]:8443"),
        ("[0:0:0:0:0:0:0:1]:8443", "::1", "[::1]:8443"),
        ("[::]:8443", "::", "[::]:8443"),
        ("LocalHost:08443", "localhost", "localhost:8443"),
        ("trust_1.example-2.com:8443", "trust_1.example-2.com", "trust_1.example-2.com:8443"),
    ],
)
def test_an_address_is_read(text, host, shown):
    address = parse_address(text)

    assert (address.host, address.port, str(address)) == (host, 8443, shown)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "use HOST:PORT"),
        ("8443", "use HOST:PORT"),
        ("localhost", "use HOST:PORT"),
        ("localhost:", "use HOST:PORT"),
        ("localhost:http", "use HOST:PORT"),
        ("localhost:-1", "use HOST:PORT"),
        ("localhost:84 43", "use HOST:PORT"),
        ("localhost:8443\n", "use HOST:PORT"),
        ("https://localhost:8443", "use HOST:PORT|in brackets"),
        ("localhost:65536", "use a port from 1 to 65535"),
        ("::1:8443", r"in brackets, such as \[::1\]:8443"),
        ("::", "in brackets"),
        ("fe80::1%eth0:8443", "in brackets"),
        ("[fe80::1%eth0]:8443", "without a zone"),
        ("[127.0.0.1]:8443", "IPv6 address"),
        ("[localhost]:8443", "IPv6 address"),
        ("[]:8443", "IPv6 address"),
        ("[::1:8443", "use HOST:PORT"),
        ("256.0.0.1:8443", "four numbers"),
        ("127.1:8443", "four numbers"),
        ("localhost.:8443", "without a final dot"),
        ("a..b:8443", "host name in ASCII"),
        ("-a:8443", "host name in ASCII"),
        ("münchen:8443", "host name in ASCII"),
        ("*:8443", "host name in ASCII"),
        (f"{'a' * 64}:8443", "host name in ASCII"),
        (f"{'a.' * 127}aa:8443", "host name in ASCII"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_one_that_can(text, advice):
    with pytest.raises(InvalidSettingError, match=f"is not a valid address; .*({advice})"):
        parse_address(text)


def test_a_busy_port_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(InvalidSettingError, match=f"127.0.0.1:{port} is in use by another process; .* --listen"):
            require_listenable(Address("127.0.0.1", port), "--listen")
        with pytest.raises(InvalidSettingError, match="is in use by another process"):
            require_listenable(Address(EVERY, port), "--listen")

    require_listenable(Address("127.0.0.1", port), "--listen")


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "192.0.2.1 is not an address of this machine"),
        ("203.0.113.7", "choose one of its own with --listen"),
    ],
)
def test_an_address_of_another_machine_is_refused(host, reason):
    with pytest.raises(InvalidSettingError, match=reason):
        require_listenable(Address(host, 0), "--listen")


def test_a_name_that_cannot_be_resolved_is_refused(monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(InvalidSettingError, match=r"nosuch cannot be resolved \(Name or service not known\)"):
        require_listenable(Address("nosuch", 8443), "--listen")


def test_a_port_of_the_administrator_is_refused_to_other_users():
    odd = why_not_bound(OSError(errno.EINVAL, "Invalid argument (of asyncio)"), Address("::1", 443), "--listen")
    text = why_not_bound(OSError(errno.EACCES, "Permission denied"), Address("::1", 443), "--health-listen")

    assert text == "this user may not listen on [::1]:443; choose a port above 1023 with --health-listen"
    assert odd == "cannot listen on [::1]:443 (Invalid argument); choose another address with --listen"


def test_a_name_with_an_address_that_this_machine_lacks_listens_on_the_other_one():
    found = [(socket.AF_INET, 0, 0, "", (host, 0)) for host in ("192.0.2.1", "127.0.0.1")]

    (listener,) = open_listeners(found, backlog=1)

    with listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError, match="Cannot assign requested address"):
        open_listeners(found[:1], backlog=1)


def test_a_free_port_is_the_same_one_for_all_addresses():
    found = [(socket.AF_INET, 0, 0, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2")]

    listeners = open_listeners(found, backlog=1)

    ports = {listener.getsockname()[1] for listener in listeners}
    for listener in listeners:
        listener.close()
    assert len(ports) == 1


@pytest.mark.parametrize("lacks", ["none", "IPv6", "IPv4"])
async def test_an_address_without_a_host_listens_on_each_protocol_that_the_machine_has(lacks, monkeypatch):
    create, lacking = socket.create_server, {"IPv6": socket.AF_INET6, "IPv4": socket.AF_INET}.get(lacks)

    def create_server(address, *, family, **more):
        if family == lacking:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return create(address, family=family, **more)

    monkeypatch.setattr(socket, "create_server", create_server)

    listeners = await listen_on(Address("", 0), backlog=1)

    bound = {listener.getsockname()[:2] for listener in listeners}
    for listener in listeners:
        listener.close()
    (port,) = {port for _, port in bound}
    expected = {"IPv4": (EVERY, port), "IPv6": ("::", port)}
    expected.pop(lacks, None)
    assert bound == set(expected.values())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_client_of_either_protocol_reaches_a_listener_without_a_host(host):
    listeners = await listen_on(Address("", 0), backlog=1)

    with socket.create_connection((host, listeners[0].getsockname()[1]), timeout=60) as client:
        # No IPv4 address in the form of IPv6: limits and logs have the address of the client.
        assert client.getpeername()[0] == host
    for listener in listeners:
        listener.close()


def test_the_names_of_this_machine_are_its_host_name_and_addresses(monkeypatch):
    monkeypatch.setattr(addresses.socket, "gethostname", lambda: "Trust-1")
    monkeypatch.setattr(
        addresses.socket,
        "getaddrinfo",
        lambda *_, **__: [(0, 0, 0, "", ("198.51.100.7", 0)), (0, 0, 0, "", ("fe80::1%a", 0))],
    )

    names = names_of_this_machine()

    assert names[:1] == ("trust-1",)
    assert "198.51.100.7" in names
    assert not any("%" in name for name in names)
