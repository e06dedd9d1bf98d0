"""The proxy of the environment, beside kubectl; and credentials that change while a process runs."""

import asyncio
from typing import Any

import pytest

from tallystick.kube.connection import REREAD_SECONDS, Connection
from tallystick.objects.ports import UnavailableError
from tests.harness.connect_proxy import connect_proxy
from tests.harness.kubeconfigs import HIDDEN, PROXY, Place, T, a_document, an_exec, no_proxies, place, review, we_say

__all__ = ["no_proxies", "place"]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_the_proxy_of_the_environment_is_used_and_proxy_url_goes_before_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = f"127.0.0.1:{place.proxy.port}"
    file = place.write("kubeconfig", a_document({"server": f"https://{HIDDEN}"}, T))
    monkeypatch.setenv(variable, proxy)

    theirs, ours = place.kubectl_says(f"--kubeconfig={file}", **{variable: proxy}), we_say(file)
    own = place.write("own", a_document({"server": f"https://{HIDDEN}", PROXY: "$SECURED$"}, T))
    by_own = we_say(own)

    assert isinstance(ours, dict), ours
    assert ours == theirs == by_own
    assert place.proxy.targets == [f"CONNECT {HIDDEN}:443"] * 2
    assert place.secured_proxy.targets == [f"CONNECT {HIDDEN}:443"]


def test_loopback_is_never_reached_through_the_proxy_of_the_environment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{place.proxy.port}")
    servers = (place.server, f"https://localhost:{place.https.port}", f"http://127.0.0.1:{place.http.port}")

    said = [we_say(place.write("kubeconfig", a_document({"server": server}, T))) for server in servers]

    assert all(isinstance(one, dict) for one in said), said
    assert place.proxy.targets == []


def test_a_proxy_that_refuses_is_named_without_its_password(place: Place) -> None:
    with connect_proxy(status=407) as proxy:
        url = f"http://me:hidden-word@127.0.0.1:{proxy.port}"
        said = we_say(place.write("kubeconfig", a_document({"server": f"https://{HIDDEN}", PROXY: url}, T)))

    assert f"the proxy http://127.0.0.1:{proxy.port} rejected the connection to {HIDDEN} with HTTP status 407" in said
    assert "hidden-word" not in said


def test_a_token_that_was_refused_is_fetched_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.kube.credentials.SECONDS_BETWEEN_RUNS", 0.0)
    runs = place.folder / "runs"
    counting = place.folder / "counting"
    counting.write_text(f"#!/bin/sh\necho run >> {runs}\nexec {place.folder}/plugin one\n")
    counting.chmod(0o755)
    connection = Connection(kubeconfig=place.write("kubeconfig", a_document({}, an_exec(command="./counting"))))

    async def three() -> None:
        await review(connection)
        await review(connection)
        place.https.refuse(1)
        with pytest.raises(UnavailableError, match="401"):
            await review(connection)
        await review(connection)

    asyncio.run(three())

    assert runs.read_text().splitlines() == ["run"] * 2


def test_a_token_file_is_read_again(place: Place) -> None:
    file = place.folder / "rotated"
    file.write_text("first")
    connection = Connection(kubeconfig=place.write("kubeconfig", a_document({}, {"tokenFile": "rotated"})))

    async def both() -> list[Any]:
        before = await review(connection)
        file.write_text("second")
        connection._read_at -= 2 * REREAD_SECONDS  # a minute has passed
        after = await review(connection)
        file.unlink()
        connection._read_at -= 2 * REREAD_SECONDS  # a minute has passed
        return [one["headers"] for one in (before, after, await review(connection))]

    said = asyncio.run(both())

    assert said == [[["authorization", f"Bearer {word}"]] for word in ("first", "second", "second")]
