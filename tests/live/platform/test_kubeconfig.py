"""Each field of a kubeconfig, beside kubectl: the same request reaches the API server, or both refuse.

The server answers as what it was asked: headers, TLS name, holder of the client certificate. docs/kubeconfig.md has the
table.
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.kube.connection import REREAD_SECONDS, Connection
from tallystick.objects.ports import UnavailableError
from tests.harness.connect_proxy import connect_proxy
from tests.harness.kubeconfigs import HIDDEN, NAMED, Place, kubeconfig_place, review, we_say

Json = dict[str, Any]
V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with kubeconfig_place(tmp_path_factory.mktemp("kubeconfigs")) as made:
        yield made


def a_document(cluster: Json, user: Json, **more: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "$SERVER$", "certificate-authority": "$CA$", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        **more,
    }


def an_exec(*args: str, version: str = V1, **more: Any) -> Json:
    return {
        "exec": {
            "apiVersion": version,
            "command": "$DIR$/plugin",
            "args": list(args),
            "interactiveMode": "Never",
            **more,
        }
    }


CA, CA_DATA, INSECURE, NAME, PROXY = (
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "proxy-url",
)
CERT, CERT_DATA, KEY, KEY_DATA = "client-certificate", "client-certificate-data", "client-key", "client-key-data"
T = {"token": "t"}
NO_CA = {CA: ""}
CERTIFICATE = {CERT: "dana.crt", KEY: "dana.key"}
WORD = [{"name": "PLUGIN_WORD", "value": "word"}]

OBEYED: dict[str, tuple[Json, Json]] = {
    "token": ({}, {"token": "inline"}),
    "tokenFile": ({}, {"tokenFile": "$DIR$/token"}),
    "tokenFile relative": ({}, {"tokenFile": "token"}),
    "token and tokenFile": ({}, {"token": "inline", "tokenFile": "token"}),
    "token and a tokenFile that is missing": ({}, {"token": "inline", "tokenFile": "missing"}),
    "username and password": ({}, {"username": "dana", "password": "p:w"}),
    "username alone": ({}, {"username": "dana"}),
    "client-certificate": ({}, CERTIFICATE),
    "client-certificate-data": ({}, {CERT_DATA: "$CERT_DATA$", KEY_DATA: "$KEY_DATA$"}),
    "client-certificate and client-key-data": ({}, {CERT: "dana.crt", KEY_DATA: "$KEY_DATA$"}),
    "client-certificate and token": ({}, {**CERTIFICATE, "token": "inline"}),
    "client-key alone": ({}, {"token": "t", KEY: "missing.key"}),
    "as": ({}, {"token": "t", "as": "dana"}),
    "as-uid as-groups": ({}, {"token": "t", "as": "dana", "as-uid": "7", "as-groups": ["devs", "ops"]}),
    "as-user-extra": (
        {},
        {"token": "t", "as": "dana", "as-user-extra": {"scopes": ["a", "b"], "example.org/a b%": ["x"]}},
    ),
    "as with letters of other languages": ({}, {"token": "t", "as": "\u0434\u0430\u043d\u0430"}),
    "certificate-authority relative": ({CA: "ca.crt"}, T),
    "certificate-authority-data": ({**NO_CA, CA_DATA: "$CA_DATA$"}, T),
    "insecure-skip-tls-verify": ({**NO_CA, INSECURE: True}, T),
    "tls-server-name": ({NAME: NAMED}, T),
    "tls-server-name with insecure-skip-tls-verify": (
        {**NO_CA, INSECURE: True, NAME: "other.example"},
        T,
    ),
    "server by name": ({"server": "https://localhost:$PORT$"}, T),
    "server with a path": ({"server": "$SERVER$/k8s/clusters/c-1/"}, T),
    "server without a scheme": ({"server": "127.0.0.1:$PLAIN$"}, T),
    "server of http": ({"server": "http://127.0.0.1:$PLAIN$", **NO_CA}, {"token": "t", "as": "dana"}),
    "proxy-url": ({"server": f"https://{HIDDEN}", PROXY: "http://$PROXY$"}, T),
    "proxy-url with a password": (
        {"server": f"https://{HIDDEN}", PROXY: "http://me:se%40cret@$PROXY$"},
        T,
    ),
    "proxy-url of https": ({"server": f"https://{HIDDEN}", PROXY: "$SECURED$"}, T),
    "proxy-url for loopback": ({PROXY: "http://$PROXY$"}, T),
    "proxy-url for http": (
        {"server": "http://127.0.0.1:$PLAIN$", **NO_CA, PROXY: "http://$PROXY$"},
        T,
    ),
    "proxy-url and tls-server-name": (
        {"server": f"https://{HIDDEN}", PROXY: "http://$PROXY$", NAME: NAMED},
        T,
    ),
    "disable-compression": ({"disable-compression": True}, T),
    "exec": ({}, an_exec("one", "two")),
    "exec v1beta1": ({}, an_exec("one", version=V1BETA1)),
    "exec relative": ({}, an_exec("one", command="./plugin")),
    "exec env": ({}, an_exec("one", env=WORD)),
    "exec without args": (
        {},
        {"exec": {**an_exec()["exec"], "args": None, "env": WORD}},
    ),
    "exec interactiveMode": ({}, an_exec("one", interactiveMode="IfAvailable")),
    "exec provideClusterInfo": (
        {
            NAME: NAMED,
            "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "mine"}}],
        },
        an_exec("info", provideClusterInfo=True),
    ),
    "exec without provideClusterInfo": ({}, an_exec("info")),
    "exec with a certificate": ({}, an_exec("certificate", "$DIR$/dana.crt", "$DIR$/dana.key")),
    "exec and token": ({}, {**an_exec("fail"), "token": "inline"}),
    "exec and client-certificate": ({}, {**an_exec("fail"), **CERTIFICATE}),
    "fields that are unknown": ({"color": "red", "tls_server_name": "x"}, {"token": "t", "mood": {"good": True}}),
    "fields that are null": ({PROXY: None, NAME: None}, {"token": "t", "as": None, "exec": None}),
}

# The second text is a word of our error: the name of the field.
REFUSED: dict[str, tuple[Json, Json, str]] = {
    "auth-provider": ({}, {"auth-provider": {"name": "gcp", "config": {}}}, "auth-provider gcp"),
    "token and username": ({}, {"token": "t", "username": "dana", "password": "p"}, "token and username"),
    "tokenFile and username": ({}, {"tokenFile": "token", "username": "dana"}, "tokenFile and username"),
    "tokenFile missing": ({}, {"tokenFile": "missing"}, "/missing"),
    "tokenFile empty": ({}, {"tokenFile": "empty"}, "empty cannot be used: it is empty"),
    "token with a line break": ({}, {"token": "a\nb"}, "token has line breaks"),
    "token as a number": ({}, {"token": 12345}, "users[0].user.token"),
    "client-certificate without key": ({}, {CERT: "dana.crt"}, KEY),
    "client-certificate missing": ({}, {CERT: "no.crt", KEY: "dana.key"}, "no.crt"),
    "client-certificate twice": ({}, {**CERTIFICATE, CERT_DATA: "$CERT_DATA$"}, CERT_DATA),
    "client-key twice": ({}, {**CERTIFICATE, KEY_DATA: "$KEY_DATA$"}, KEY_DATA),
    "client-certificate and another key": ({}, {CERT: "dana.crt", KEY: "erin.key"}, KEY),
    "client-certificate that is not PEM": ({}, {CERT: "garbage", KEY: "dana.key"}, "client-cert"),
    "client-key-data that is not base64": ({}, {KEY_DATA: "%%%"}, "client-key-data must be base64"),
    "as-groups without as": ({}, {"token": "t", "as-groups": ["devs"]}, "as-groups"),
    "as-uid without as": ({}, {"token": "t", "as-uid": "7"}, "as-uid"),
    "as-user-extra without as": ({}, {"token": "t", "as-user-extra": {"a": ["b"]}}, "as-user-extra"),
    "as with a line break": ({}, {"token": "t", "as": "da\nna"}, "as"),
    "server missing": ({"server": ""}, T, "server"),
    "server that is no URL": ({"server": "https://:443:x"}, T, "server"),
    "certificate-authority missing": ({CA: "no.crt"}, T, CA),
    "certificate-authority that is not PEM": ({CA: "garbage"}, T, "certificate authority"),
    "certificate-authority twice": ({CA_DATA: "$CA_DATA$"}, T, CA_DATA),
    "certificate-authority-data that is not base64": ({**NO_CA, CA_DATA: "%"}, T, "base64"),
    "insecure-skip-tls-verify with a CA": ({INSECURE: True}, T, INSECURE),
    "insecure-skip-tls-verify as a text": ({INSECURE: "true"}, T, INSECURE),
    "another CA": ({CA: "clients.crt"}, T, "does not have the CA"),
    "no CA": ({CA: ""}, T, "set certificate-authority"),
    "tls-server-name that the certificate lacks": ({NAME: "other.example"}, T, NAME),
    "server of another port": ({"server": "https://127.0.0.1:1"}, T, "Connect call failed"),
    "server that cannot be resolved": ({"server": "https://no.such.invalid"}, T, "cannot be resolved"),
    "proxy-url of another scheme": ({PROXY: "ftp://$PROXY$"}, T, PROXY),
    "proxy-url that is no URL": ({PROXY: "http://"}, T, PROXY),
    "proxy-url that is not there": ({PROXY: "http://127.0.0.1:1"}, T, "the proxy http://127.0.0.1:1"),
    "exec without command": ({}, an_exec(command=""), "exec.command"),
    "exec without apiVersion": ({}, an_exec(version=""), "exec.apiVersion"),
    "exec of v1alpha1": ({}, an_exec(version="client.authentication.k8s.io/v1alpha1"), "exec.apiVersion"),
    "exec without interactiveMode": ({}, an_exec(interactiveMode=""), "exec.interactiveMode"),
    "exec of another interactiveMode": ({}, an_exec(interactiveMode="Maybe"), "interactiveMode"),
    "exec that needs a terminal": ({}, an_exec(interactiveMode="Always"), "needs a terminal"),
    "exec env without a name": ({}, an_exec(env=[{"value": "x"}]), "exec.env"),
    "exec that is missing": ({}, an_exec(command="no-such-plugin", installHint="Get\nit."), "Get it."),
    "exec that fails": ({}, an_exec("fail"), "exit status 3"),
    "exec without a status": ({}, an_exec("none"), "did not return an ExecCredential"),
    "exec without a credential": ({}, an_exec("empty"), "neither a token nor a certificate"),
    "exec with half a certificate": ({}, an_exec("half", "$DIR$/dana.crt"), "without its key"),
    "exec with a token of two lines": ({}, an_exec("a\nb"), "has line breaks"),
    "exec of another version": ({}, an_exec("version"), "apiVersion other than"),
    "exec with garbage": ({}, an_exec("garbage"), "did not return an ExecCredential"),
    "exec and auth-provider": ({}, {**an_exec(), "auth-provider": {"name": "oidc"}}, "auth-provider oidc"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(place.folder))
    place.proxy.targets.clear()
    place.proxy.authorizations.clear()
    place.secured_proxy.targets.clear()


@pytest.mark.parametrize("case", OBEYED)
def test_a_field_is_obeyed_as_kubectl_obeys_it(place: Place, case: str) -> None:
    cluster, user = OBEYED[case]
    file = place.write("kubeconfig", a_document(cluster, user))

    theirs, through = place.kubectl_says(f"--kubeconfig={file}"), _used(place)
    ours = we_say(file)

    assert isinstance(theirs, dict), theirs
    assert ours == theirs
    assert _used(place) == through * 2


def _used(place: Place) -> list[str]:
    return [
        f"{target.partition('?')[0]} {said}"
        for target, said in zip(place.proxy.targets, place.proxy.authorizations, strict=True)
    ] + place.secured_proxy.targets


@pytest.mark.parametrize("case", REFUSED)
def test_a_field_that_kubectl_refuses_is_refused_by_its_name(place: Place, case: str) -> None:
    cluster, user, named = REFUSED[case]
    file = place.write("kubeconfig", a_document(cluster, user))

    theirs, ours = place.kubectl_says(f"--kubeconfig={file}"), we_say(file)

    assert isinstance(theirs, str), theirs
    assert isinstance(ours, str), ours
    assert named in ours
    assert "\n" not in ours
    assert "PRIVATE KEY" not in ours


def test_a_proxy_of_socks_is_refused_by_its_name(place: Place) -> None:
    file = place.write("kubeconfig", a_document({"proxy-url": "socks5://127.0.0.1:1080"}, {}))

    assert "proxy-url of the kubeconfig has the scheme socks5, which is not supported" in str(we_say(file))


# Which file, and which context.


def named(name: str, **more: Any) -> Json:
    """A kubeconfig whose only entries have this name, and whose token is the name."""
    document = a_document({}, {"token": name}, **{"current-context": name, **more})
    document["clusters"][0]["name"] = document["users"][0]["name"] = document["contexts"][0]["name"] = name
    document["contexts"][0]["context"] = {"cluster": name, "user": name}
    return document


def test_the_first_of_several_files_decides_and_paths_are_relative_to_their_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / "far").mkdir()
    shutil.copy(place.folder / "ca.crt", place.folder / "far" / "near.crt")
    (place.folder / "far" / "token").write_text("of the far file\n".replace(" ", "-"))
    first = a_document({CA: "near.crt"}, {"tokenFile": "token"}, **{"current-context": ""})
    place.write("far/first", {**first, "contexts": []})
    place.write("second", a_document({"server": "https://127.0.0.1:1"}, {"token": "second"}))
    place.write("third", named("third"))
    paths = [place.folder / name for name in ("missing", "far/first", "second", "third")]
    joined = ":".join(["", *map(str, paths)])
    monkeypatch.setenv("KUBECONFIG", joined)

    # The context of the second file leads to cluster and user of the first.
    theirs = [place.kubectl_says(KUBECONFIG=joined), place.kubectl_says("--context=third", KUBECONFIG=joined)]
    ours = [we_say(), we_say(context="third")]

    assert [said["headers"] for said in ours] == [
        [["authorization", "Bearer of-the-far-file"]],
        [["authorization", "Bearer third"]],
    ]
    assert ours == theirs


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("flag KUBECONFIG home pod", "flag"),
        ("KUBECONFIG home pod", "KUBECONFIG"),
        ("KUBECONFIG pod", "KUBECONFIG"),
        ("home pod", "home"),
        ("pod", "pod"),
        ("empty-home pod", "pod"),
    ],
)
def test_the_first_source_that_is_there_decides(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, used: str
) -> None:
    sources = given.split()
    pod = tmp_path / "pod"
    pod.mkdir()
    (pod / "token").write_text("pod")
    shutil.copy(place.folder / "ca.crt", pod)
    monkeypatch.setattr("tallystick.kube.sources.POD", pod)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(place.https.port))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    if "home" in sources or "empty-home" in sources:
        content = place.write("home", named("home")).read_text() if "home" in sources else ""
        (tmp_path / ".kube" / "config").write_text(content)
    if "KUBECONFIG" in sources:
        monkeypatch.setenv("KUBECONFIG", str(place.write("variable", named("KUBECONFIG"))))
    flag = place.write("flag", named("flag")) if "flag" in sources else None

    said = we_say(flag)

    assert isinstance(said, dict), said
    assert said["headers"] == [["authorization", f"Bearer {used}"]]


def test_a_path_may_begin_with_the_home_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("in-home", named("in-home"))
    monkeypatch.setenv("KUBECONFIG", "~/in-home")

    said = [we_say(), we_say(Path("~/in-home"))]

    assert [one["headers"] for one in said] == [[["authorization", "Bearer in-home"]]] * 2


WRONG_FILES: dict[str, tuple[str, str]] = {
    "a context that does not exist": ("--context", "context nowhere does not exist; use one of: x"),
    "no current context": ("current-context: ''", "current-context is not set"),
    "a cluster that does not exist": ("clusters: []", "cluster 'c', which does not exist"),
    "a user that does not exist": ("users: []", "user 'u', which does not exist"),
    "a name twice": ("users: [{name: u}, {name: u}]", "users has the name 'u' twice"),
    "a list that is a text": ("users: none", "users must be a valid list"),
    "another kind": ("kind: Secret", "kind must be 'Config'"),
    "no YAML": ("users: [", "is not YAML: see line"),
    "a text": ("a text", "is not a kubeconfig"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_file_that_kubectl_refuses_is_refused_by_its_name(place: Place, case: str) -> None:
    change, reason = WRONG_FILES[case]
    file = place.write("wrong", a_document({}, T))
    context = "nowhere" if change == "--context" else None
    if change == "a text":
        file.write_text(change)
    elif context is None:
        file.write_text(f"{file.read_text()}\n{change}\n")  # of a field that comes twice the last one counts
    flags = [f"--context={context}"] if context else []

    theirs, ours = place.kubectl_says(f"--kubeconfig={file}", *flags), we_say(file, context)

    assert isinstance(theirs, str), theirs
    assert isinstance(ours, str), ours
    assert f"no usable connection to a cluster: {file}" in ours
    assert reason in ours
    assert "\n" not in ours


def test_a_file_that_is_named_and_missing_is_refused_and_nothing_replaces_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(place.write("home", named("home")).read_text())
    monkeypatch.setenv("HOME", str(tmp_path))

    by_flag = we_say(tmp_path / "missing")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    by_variable = we_say()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    a_folder = we_say()

    assert by_flag == f"no usable connection to a cluster: {tmp_path}/missing does not exist"
    assert f"KUBECONFIG={tmp_path}/missing: no such file" in by_variable
    assert a_folder == f"no usable connection to a cluster: {tmp_path} cannot be read: Is a directory"


# The environment, and credentials that change.


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
