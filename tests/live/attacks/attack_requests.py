"""Good tokens that are presented in odd ways: in the wrong place, twice, under another name, as another user's."""

import json
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

from urllib3 import HTTPHeaderDict

from tests.harness.attacks import (
    EVERYWHERE,
    INACTIVE,
    NO_FORM,
    NO_ONE,
    NOT_A_CALLER,
    Expected,
    Place,
    Row,
    Send,
    Victim,
    present,
    redemption,
    refused,
    send_form,
)
from tests.harness.exchange import ACCESS_TOKEN_TYPE, GRANT, JWT_TYPE, Exchange, HttpAnswer

Pairs = list[tuple[str, str]]

TOKEN, INTROSPECT, REVOKE = "/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"
PATHS = (TOKEN, INTROSPECT, REVOKE)

IN_THE_URL = refused("parameters must be in the body, not in the URL")
NOT_SERVED = refused("this path does not support this method", status=405)


def _missing(path: str) -> Expected:
    return refused(f"{_name(path)} is missing")


def _pairing(victim: Victim) -> str:
    return victim.pairing.token


def _master(victim: Victim) -> str:
    return victim.master.token


def _name(path: str) -> str:
    return "subject_token" if path == TOKEN else "token"


def _form(victim: Victim, path: str) -> Pairs:
    """The form that presents the pairing token properly at a path."""
    token = victim.pairing.token
    return redemption(token) if path == TOKEN else [("token", token)]


def _without_token(path: str) -> Pairs:
    return [("grant_type", GRANT), ("subject_token_type", JWT_TYPE)] if path == TOKEN else []


def _caller(victim: Victim, path: str) -> HTTPHeaderDict:
    """A good caller where one is asked for, so that nothing but the token is at fault."""
    return HTTPHeaderDict({"Authorization": f"Bearer {victim.callers.next()}"} if path == INTROSPECT else {})


def _posts(path: str, form: Callable[[Victim], Pairs]) -> Send:
    return lambda victim, client: send_form(client, path, form(victim), _caller(victim, path))


def _in_a_cookie(path: str) -> Send:
    def send(victim: Victim, client: Exchange) -> HttpAnswer:
        headers = _caller(victim, path)
        headers["Cookie"] = f"{_name(path)}={victim.pairing.token}"
        return send_form(client, path, _without_token(path), headers)

    return send


def _posts_content(path: str, written: Callable[[Pairs], str], content_type: str) -> Send:
    def send(victim: Victim, client: Exchange) -> HttpAnswer:
        headers = _caller(victim, path)
        headers["Content-Type"] = content_type
        return client._send("POST", path, written(_form(victim, path)).encode(), headers)

    return send


def _in_the_url(path: str, *, also_in_the_body: bool) -> Send:
    def send(victim: Victim, client: Exchange) -> HttpAnswer:
        form = _form(victim, path)
        query = urlencode(form)
        return send_form(client, f"{path}?{query}", form if also_in_the_body else [], _caller(victim, path))

    return send


def _authorized(path: str, *schemes: str, form: Pairs | None = None) -> Send:
    """Send the pairing token in the header Authorization, once for each scheme."""

    def send(victim: Victim, client: Exchange) -> HttpAnswer:
        headers = HTTPHeaderDict()
        for scheme in schemes:
            headers.add("Authorization", f"{scheme} {victim.pairing.token}")
        return send_form(client, path, _without_token(path) if form is None else form, headers)

    return send


def _gets(path: str) -> Send:
    return lambda victim, client: client._send("GET", path, b"", _caller(victim, path))


def _json(form: Pairs) -> str:
    return json.dumps(dict(form))


def _encoded(form: Pairs) -> str:
    return urlencode(form)


def _multipart(form: Pairs) -> str:
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form]
    return "".join(parts) + "--x--\r\n"


def _beside(path: str, other: Callable[[Victim], str]) -> Send:
    """Give the token twice, or with another one."""
    return _posts(path, lambda victim: [*_form(victim, path), (_name(path), other(victim))])


def _renamed(path: str, name: str) -> Send:
    return _posts(path, lambda victim: [*_without_token(path), (name, victim.pairing.token)])


def _other_names(path: str) -> tuple[str, ...]:
    own = _name(path)
    other = "token" if path == TOKEN else "subject_token"
    return (other, f"{own}[]", own.upper(), f" {own}", f"{own}\0", "access_token", "assertion", "id_token")


def _rows_at(path: str) -> Iterator[Row]:
    repeated = refused(f"{_name(path)} occurs more than once")
    attacks: list[tuple[str, Send, Expected]] = [
        ("beside itself in the form", _beside(path, _pairing), repeated),
        ("beside another token in the form", _beside(path, _master), repeated),
        ("in the URL", _in_the_url(path, also_in_the_body=False), IN_THE_URL),
        ("in URL and body", _in_the_url(path, also_in_the_body=True), IN_THE_URL),
        ("as JSON", _posts_content(path, _json, "application/json"), NO_FORM),
        ("as multipart", _posts_content(path, _multipart, "multipart/form-data; boundary=x"), NO_FORM),
        ("as plain text", _posts_content(path, _encoded, "text/plain"), NO_FORM),
        ("in a cookie", _in_a_cookie(path), _missing(path)),
        ("with GET", _gets(path), NOT_SERVED),
        *((f"under the name {name!a}", _renamed(path, name), _missing(path)) for name in _other_names(path)),
    ]
    for name, send, expected in attacks:
        yield Row(name, send, expected, where=path)


def _granted(grant: str) -> Send:
    return _posts(TOKEN, lambda victim: [("grant_type", grant), ("assertion", victim.pairing.token), ("code", "x")])


def _redeemed_with(*more: tuple[str, str]) -> Send:
    return _posts(TOKEN, lambda victim: [*redemption(victim.pairing.token), *more])


def _typed_as(*types: tuple[str, str]) -> Send:
    """The form of a redemption, with another type of the token or none."""
    return _posts(TOKEN, lambda victim: [*redemption(victim.pairing.token)[:2], *types])


OTHER_GRANT = refused("only token-exchange is supported", code="unsupported_grant_type")
GRANTS = ("urn:ietf:params:oauth:grant-type:jwt-bearer", "authorization_code", GRANT.upper())

REDEMPTIONS = [
    Row("in Authorization alone, redeemed", _authorized(TOKEN, "Bearer"), _missing(TOKEN)),
    Row(
        "as an access token to exchange",
        _typed_as(("subject_token_type", ACCESS_TOKEN_TYPE)),
        refused(f"subject_token_type must be {JWT_TYPE}"),
    ),
    Row("without its type", _typed_as(), refused("subject_token_type is missing")),
    Row(
        "as actor, too",
        _redeemed_with(("actor_token", "x")),
        refused("actor_token and actor_token_type are not supported; remove them"),
    ),
    Row(
        "for a token of another type",
        _redeemed_with(("requested_token_type", JWT_TYPE)),
        refused(f"requested_token_type must be {ACCESS_TOKEN_TYPE}"),
    ),
    *(Row(f"as grant {grant}", _granted(grant), OTHER_GRANT) for grant in GRANTS),
]

REVOCATIONS = [Row("in Authorization alone, revoked", _authorized(REVOKE, "Bearer"), _missing(REVOKE))]


def _as_bearer(token: Callable[[Victim], str], asked: Callable[[Victim], str]) -> Send:
    return lambda victim, client: client.introspect(asked(victim), token(victim))


def _typed(victim: Victim, token: str) -> Pairs:
    return [("token", token), ("deployment_type", "Kubernetes")]


SOMETHING: Pairs = [("token", "x")]

INTROSPECTIONS = [
    Row("pairing token as bearer, about itself", _as_bearer(_pairing, _pairing), NOT_A_CALLER, reads=True),
    Row("pairing token as bearer, about the master token", _as_bearer(_pairing, _master), NOT_A_CALLER, reads=True),
    Row("master token as bearer, about itself", _as_bearer(_master, _master), NOT_A_CALLER, reads=True),
    Row("no caller", lambda v, c: c.introspect(v.pairing.token, None), NO_ONE),
    # RFC 6750 3.1: a method that is not supported is as good as none, and is told no error.
    *(
        Row(f"caller by {scheme}", _authorized(INTROSPECT, scheme, form=SOMETHING), NO_ONE)
        for scheme in ("Basic", "DPoP", "Token")
    ),
    Row(
        "caller by a word",
        lambda v, c: c.post(INTROSPECT, {"token": _pairing(v)}, {"Authorization": "Bearer"}),
        NOT_A_CALLER,
    ),
    Row(
        "caller in the form",
        lambda v, c: c.post(INTROSPECT, {"token": _pairing(v), "access_token": v.site.bearer}),
        NO_ONE,
    ),
    Row(
        "two callers",
        _authorized(INTROSPECT, "Bearer", "Bearer", form=SOMETHING),
        refused("header Authorization occurs more than once"),
    ),
    # No token of these kinds is bound to a deployment type, so it is good for none (class C4, R39).
    Row("pairing token for a deployment type", _posts(INTROSPECT, lambda v: _typed(v, _pairing(v))), INACTIVE),
    Row("master token for a deployment type", _posts(INTROSPECT, lambda v: _typed(v, _master(v))), INACTIVE),
]


def _of_another_kind() -> Iterator[Row]:
    """Good tokens, of another kind than is asked for."""
    own: tuple[tuple[str, Callable[[Victim], str], tuple[Place, ...]], ...] = (
        ("master token", _master, (Place.TOKEN,)),
        ("ServiceAccount token", lambda v: v.site.bearer, (Place.TOKEN, Place.INTROSPECT, Place.REVOKE)),
        ("API server's token", lambda v: v.spare["api token"], tuple(Place)),
        ("bearer for somebody else", lambda v: v.spare["foreign token"], tuple(Place)),
    )
    for name, token, places in own:
        for place in places:
            yield Row(f"{name} for another", _presented(token, place), EVERYWHERE[place], where=place)


def _presented(token: Callable[[Victim], str], place: Place) -> Send:
    return lambda victim, client: present(victim, client, token(victim), place)


ALL = [
    *(row for path in PATHS for row in _rows_at(path)),
    *REDEMPTIONS,
    *REVOCATIONS,
    *INTROSPECTIONS,
    *_of_another_kind(),
]
