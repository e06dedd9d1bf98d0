"""Each field of a kubeconfig, beside kubectl: the same request reaches the API server, or both refuse.

The server answers as what it was asked: headers, TLS name, holder of the client certificate. docs/kubeconfig.md has the
table.
"""

from typing import Any

import pytest

from tests.harness.kubeconfigs import (
    CA,
    CA_DATA,
    HIDDEN,
    INSECURE,
    NAME,
    NAMED,
    PROXY,
    V1BETA1,
    Place,
    T,
    a_document,
    an_exec,
    no_proxies,
    place,
    we_say,
)

__all__ = ["no_proxies", "place"]

Json = dict[str, Any]
CERT, CERT_DATA, KEY, KEY_DATA = "client-certificate", "client-certificate-data", "client-key", "client-key-data"
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
