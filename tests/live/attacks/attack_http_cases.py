"""The table of bad and odd HTTP: what is sent byte for byte, and the one answer to it.

In a case `<form>` stands for a form that spends a live pairing token, `<size>` for its length in hex, `<hollow>` for
the same form with a token that is none, `<length>` for the length of the body. So whatever is refused would have spent
the token if it had been understood in another way; and what is understood is seen to reach the use case and fail there.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from tests.harness.exchange import GRANT, JWT_TYPE
from tests.harness.pairing_site import INVALID_TEXT
from tests.harness.raw_http import END_OF_HEAD

# It is sent wherever the server might quote what it was sent, and no answer may contain it.
CANARY = b"canary"

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
LENGTH = b"Content-Length: <length>\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"<size>\r\n<form>\r\n0\r\n\r\n"
HOST = b"Host: x\r\n"
TOKEN = b"POST /oauth2/token HTTP/1.1\r\n" + HOST
DOCUMENT = b"GET /openapi.json HTTP/1.1\r\n" + HOST


@dataclass(frozen=True, slots=True)
class Says:
    """An answer. `closes`: the server hangs up after it; else the connection must still be in step."""

    status: int
    error: str = ""
    description: str = ""
    closes: bool = False
    allow: str | None = None
    interim: bool = False


BROKEN = Says(400, "invalid_request", "the request is not valid HTTP/1.1", closes=True)
UNDERSTOOD = Says(400, "invalid_request", INVALID_TEXT)
NOT_A_FORM = Says(400, "invalid_request", "the body is not a well-formed form")
NO_GRANT = Says(400, "invalid_request", "grant_type is missing")
NOT_FOUND = Says(404, "not_found", "no endpoint has this path")
NOT_ALLOWED = Says(405, "invalid_request", "this path does not support this method", allow="POST")
NOT_ALLOWED_TO_GET = Says(405, "invalid_request", "this path does not support this method", allow="GET,HEAD")
TOO_LARGE = Says(413, "invalid_request", "the body is larger than 64 KiB", closes=True)
UNSUPPORTED = Says(
    415, "invalid_request", "the body must be application/x-www-form-urlencoded, without a content encoding"
)
UNEXPECTED = Says(417, "invalid_request", "the only supported expectation is 100-continue")
IN_THE_URL = Says(400, "invalid_request", "parameters must be in the body, not in the URL")
FINE = Says(200)


def repeated(name: str) -> Says:
    return Says(400, "invalid_request", f"{name} occurs more than once")


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    raw: bytes
    says: Says


def filled(raw: bytes, token: str = "") -> bytes:
    """The bytes to send, with a live token in them."""
    head, separator, body = raw.partition(END_OF_HEAD)
    form, hollow = (
        urlencode({"grant_type": GRANT, "subject_token": one, "subject_token_type": JWT_TYPE}).encode()
        for one in (token, "canary")
    )
    for name, value in ((b"<form>", form), (b"<hollow>", hollow), (b"<size>", b"%x" % len(form))):
        body = body.replace(name, value)
    return head.replace(b"<length>", b"%d" % len(body)).replace(b"<form>", form) + separator + body


def posted(body: bytes = b"<form>", *, path: bytes = b"/oauth2/token", headers: bytes = FORM) -> bytes:
    return b"POST %b HTTP/1.1\r\n%b%b%b\r\n%b" % (path, HOST, headers, LENGTH, body)


def chunked(body: bytes, *, headers: bytes = CHUNKED) -> bytes:
    return TOKEN + FORM + headers + b"\r\n" + body


def sized(length: bytes, body: bytes = b"<form>") -> bytes:
    """A request whose Content-Length lines are these."""
    return TOKEN + FORM + length + b"\r\n" + body


METHODS = (
    Case("GET", b"GET /oauth2/token HTTP/1.1\r\n" + HOST + b"\r\n", NOT_ALLOWED),
    Case("GET with a body", b"GET /oauth2/token HTTP/1.1\r\n" + HOST + FORM + LENGTH + b"\r\n<form>", NOT_ALLOWED),
    Case("GET with a query", b"GET /oauth2/token?<form> HTTP/1.1\r\n" + HOST + b"\r\n", NOT_ALLOWED),
    Case("HEAD", b"HEAD /oauth2/token HTTP/1.1\r\n" + HOST + b"\r\n", Says(405, allow="POST")),
    Case("HEAD of what one may GET", b"HEAD /.well-known/jwks.json HTTP/1.1\r\n" + HOST + b"\r\n", FINE),
    Case("PUT", b"PUT /oauth2/token HTTP/1.1\r\n" + HOST + FORM + LENGTH + b"\r\n<form>", NOT_ALLOWED),
    Case("TRACE", b"TRACE /oauth2/token HTTP/1.1\r\n" + HOST + b"X: canary\r\n\r\n", NOT_ALLOWED),
    Case(
        "TRACE of what one may GET",
        b"TRACE /openapi.json HTTP/1.1\r\n" + HOST + b"X: canary\r\n\r\n",
        NOT_ALLOWED_TO_GET,
    ),
    Case("CONNECT", b"CONNECT canary.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", NOT_FOUND),
    Case("OPTIONS *", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", NOT_FOUND),
    Case("a method that is none", b"CANARY /oauth2/token HTTP/1.1\r\n" + HOST + b"\r\n", BROKEN),
    Case(
        "a method in small letters", b"post /oauth2/token HTTP/1.1\r\n" + HOST + FORM + LENGTH + b"\r\n<form>", BROKEN
    ),
    Case("POST where one may GET", posted(path=b"/openapi.json"), NOT_ALLOWED_TO_GET),
    Case(
        "GET that says it is POST",
        b"GET /oauth2/token HTTP/1.1\r\n" + HOST + b"X-HTTP-Method-Override: POST\r\n" + FORM + LENGTH + b"\r\n<form>",
        NOT_ALLOWED,
    ),
    Case("POST that says it is GET", posted(b"<hollow>", headers=FORM + b"X-Method-Override: GET\r\n"), UNDERSTOOD),
)

BODIES = (
    Case("JSON", posted(b'{"grant_type":"canary"}', headers=b"Content-Type: application/json\r\n"), UNSUPPORTED),
    Case("JSON, a key twice", posted(b'{"a":1,"a":2}', headers=b"Content-Type: application/json\r\n"), UNSUPPORTED),
    Case("JSON, a comma too many", posted(b'{"a":1,}', headers=b"Content-Type: application/json\r\n"), UNSUPPORTED),
    Case("JSON with a comment", posted(b'{"a":1}//', headers=b"Content-Type: application/json\r\n"), UNSUPPORTED),
    Case("JSON that says it is a form", posted(b'{"canary":"1",}'), NOT_A_FORM),
    Case("no content type", posted(headers=b""), UNSUPPORTED),
    Case("an empty content type", posted(headers=b"Content-Type: \r\n"), UNSUPPORTED),
    Case("another content type", posted(headers=b"Content-Type: text/plain\r\n"), UNSUPPORTED),
    Case("multipart", posted(b"--x--", headers=b"Content-Type: multipart/form-data; boundary=x\r\n"), UNSUPPORTED),
    Case("two content types", posted(headers=FORM + b"Content-Type: application/json\r\n"), BROKEN),
    Case("two content types in one", posted(headers=FORM[:-2] + b", application/json\r\n"), UNSUPPORTED),
    Case("a charset", posted(b"<hollow>", headers=FORM[:-2] + b"; charset=utf-16\r\n"), UNDERSTOOD),
    Case("gzip", posted(b"\x1f\x8b\x08\x00<form>", headers=FORM + b"Content-Encoding: gzip\r\n"), UNSUPPORTED),
    Case("an encoding that does nothing", posted(headers=FORM + b"Content-Encoding: identity\r\n"), UNSUPPORTED),
    Case("bytes that are no UTF-8", posted(b"<form>&x=\xff\xfe"), NOT_A_FORM),
    Case("escapes that are no UTF-8", posted(b"<form>&x=%ff%fe"), NOT_A_FORM),
    Case("an overlong escape", posted(b"<form>&x=%c0%af"), NOT_A_FORM),
    Case("a surrogate", posted(b"<form>&x=%ed%a0%80"), NOT_A_FORM),
    Case("a broken escape", posted(b"<form>&x=%zz"), NOT_A_FORM),
    Case("no body", posted(b""), NO_GRANT),
    Case("64 KiB and a byte", posted(b"<form>&x=".ljust(65_600, b"a")), TOO_LARGE),
    Case("64 KiB and a byte in chunks", chunked(b"10001\r\n" + b"a" * 65_537 + b"\r\n0\r\n\r\n"), TOO_LARGE),
    Case("a length above all", sized(b"Content-Length: 9223372036854775807\r\n", b""), TOO_LARGE),
    Case("exactly 64 KiB", posted(b"x=".ljust(65_536, b"a")), NO_GRANT),
)

FRAMING = (
    Case("chunks", chunked(CHUNKS.replace(b"<size>\r\n<form>", b"1\r\nx\r\n2\r\n=1")), NO_GRANT),
    Case("a chunk size that is none", chunked(CHUNKS.replace(b"<size>", b"zz")), BROKEN),
    Case("a negative chunk size", chunked(CHUNKS.replace(b"<size>", b"-<size>")), BROKEN),
    Case("a chunk size with 0x", chunked(CHUNKS.replace(b"<size>", b"0x<size>")), BROKEN),
    Case("a chunk size that overflows", chunked(CHUNKS.replace(b"<size>", b"f" * 17)), BROKEN),
    Case("a chunk shorter than its bytes", chunked(CHUNKS.replace(b"<size>", b"1")), BROKEN),
    Case("chunks that end in LF", chunked(CHUNKS.replace(b"\r\n", b"\n")), BROKEN),
    Case("a broken trailer", chunked(CHUNKS[:-2] + b"canary\r\n\r\n"), BROKEN),
    Case("length and chunks", chunked(CHUNKS, headers=LENGTH + CHUNKED), BROKEN),
    Case("chunks and length", chunked(CHUNKS, headers=CHUNKED + LENGTH), BROKEN),
    Case("chunks twice", chunked(CHUNKS, headers=CHUNKED + CHUNKED), BROKEN),
    Case("an unknown coding, then chunks", chunked(CHUNKS, headers=b"Transfer-Encoding: gzip, chunked\r\n"), BROKEN),
    Case("chunks, then an unknown coding", chunked(CHUNKS, headers=b"Transfer-Encoding: chunked, gzip\r\n"), BROKEN),
    Case("almost chunked", chunked(CHUNKS, headers=b"Transfer-Encoding: xchunked\r\n"), BROKEN),
    Case("chunked after a space", chunked(CHUNKS, headers=b"Transfer-Encoding : chunked\r\n"), BROKEN),
    Case("chunks in HTTP/1.0", chunked(CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"), BROKEN),
    Case("two lengths", sized(LENGTH + LENGTH), BROKEN),
    Case("two lengths that differ", sized(LENGTH + b"Content-Length: 3\r\n"), BROKEN),
    Case("two lengths in one", sized(b"Content-Length: <length>, <length>\r\n"), BROKEN),
    Case("a negative length", sized(b"Content-Length: -<length>\r\n"), BROKEN),
    Case("a length with a sign", sized(b"Content-Length: +<length>\r\n"), BROKEN),
    Case("a length in hex", sized(b"Content-Length: 0x3\r\n"), BROKEN),
    Case("a length of nothing", sized(b"Content-Length: \r\n"), BROKEN),
    Case("a length of 26 digits", sized(b"Content-Length: 99999999999999999999999999\r\n"), BROKEN),
    # What follows a body would be the next request. Nothing is begun of what comes together with something broken.
    Case("a body without a length", sized(b""), BROKEN),
    Case("a body longer than its length", sized(b"Content-Length: 1\r\n"), BROKEN),
    Case("a good request, then a broken one", chunked(CHUNKS) + b"canary\r\n\r\n", BROKEN),
    Case("a broken request, then a good one", b"canary\r\n\r\n" + chunked(CHUNKS), BROKEN),
)

HEADS = (
    Case("HTTP/0.9", b"GET /openapi.json\r\n\r\n", BROKEN),
    Case("HTTP/0.9 by name", b"GET /openapi.json HTTP/0.9\r\n\r\n", BROKEN),
    Case("HTTP/1.2", b"GET /openapi.json HTTP/1.2\r\n" + HOST + b"\r\n", BROKEN),
    Case("HTTP/2.0 by name", b"GET /openapi.json HTTP/2.0\r\n" + HOST + b"\r\n", BROKEN),
    Case("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BROKEN),
    Case("a TLS hello within TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BROKEN),
    Case("HTTP/1.0", b"GET /openapi.json HTTP/1.0\r\n\r\n", Says(200, closes=True)),
    Case(
        "an upgrade to HTTP/2",
        DOCUMENT + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        FINE,
    ),
    Case("an upgrade to a WebSocket", DOCUMENT + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", FINE),
    Case("an absolute URI", b"GET https://canary.example/openapi.json HTTP/1.1\r\n" + HOST + b"\r\n", FINE),
    Case("an authority alone", b"GET canary.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", BROKEN),
    Case("no host", b"GET /openapi.json HTTP/1.1\r\n\r\n", BROKEN),
    Case("two hosts", DOCUMENT + HOST + b"\r\n", BROKEN),
    Case("an empty host", b"GET /openapi.json HTTP/1.1\r\nHost: \r\n\r\n", FINE),
    Case("a host of somebody else", b"GET /openapi.json HTTP/1.1\r\nHost: canary.example:1\r\n\r\n", FINE),
    Case("a host that is none", b"GET /openapi.json HTTP/1.1\r\nHost: a/../b@canary<>\r\n\r\n", BROKEN),
    Case("a header that is folded", DOCUMENT + b"X: a\r\n canary\r\n\r\n", BROKEN),
    Case("lines that end in LF", b"GET /openapi.json HTTP/1.1\nHost: x\n\n", BROKEN),
    Case("CR within a value", DOCUMENT + b"X: a\rX-Canary: b\r\n\r\n", BROKEN),
    Case("NUL within a value", DOCUMENT + b"X: a\x00canary\r\n\r\n", BROKEN),
    Case("NUL within a name", DOCUMENT + b"X\x00: canary\r\n\r\n", BROKEN),
    Case("ESC within a value", DOCUMENT + b"X: \x1b[2Jcanary\r\n\r\n", BROKEN),
    Case("bytes above ASCII in a value", DOCUMENT + b"X: \xff\xfe canary\r\n\r\n", FINE),
    Case("bytes above ASCII in a name", DOCUMENT + b"X\xff: canary\r\n\r\n", BROKEN),
    Case("a space after a name", DOCUMENT + b"X : canary\r\n\r\n", BROKEN),
    Case("no name", DOCUMENT + b": canary\r\n\r\n", BROKEN),
    Case("no colon", DOCUMENT + b"canary\r\n\r\n", BROKEN),
    Case("a line of more than 8 KiB", DOCUMENT + b"X: " + b"a" * 8193 + b"\r\n\r\n", BROKEN),
    Case("a name of more than 8 KiB", DOCUMENT + b"X" * 8193 + b": canary\r\n\r\n", BROKEN),
    Case("65 headers", DOCUMENT + b"X: canary\r\n" * 64 + b"\r\n", BROKEN),
    Case("64 headers", DOCUMENT + b"X: canary\r\n" * 63 + b"\r\n", FINE),
    Case(
        "headers of more than 16 KiB",
        DOCUMENT + (b"X: " + b"a" * 8000 + b"\r\n") * 2 + b"X: %b\r\n\r\n" % (b"a" * 500),
        BROKEN,
    ),
    Case("blank lines before the request", b"\r\n\r\n" + DOCUMENT + b"\r\n", FINE),
)

_PATHS = tuple(
    Case(f"path {path.decode('latin-1')[:40]!r}", posted(path=path), says)
    for path, says in (
        (b"/oauth2/token/", NOT_FOUND),
        (b"//oauth2/token", NOT_FOUND),
        (b"/oauth2//token", NOT_FOUND),
        (b"/canary/../oauth2/token", NOT_FOUND),
        (b"/oauth2/./token", NOT_FOUND),
        (b"/canary/%2e%2e/oauth2/token", NOT_FOUND),
        (b"/oauth2%2ftoken", NOT_FOUND),
        (b"/oauth2/token%2f", NOT_FOUND),
        (b"/oauth2\\token", NOT_FOUND),
        (b"/oauth2/token;canary=1", NOT_FOUND),
        (b"/oauth2/token%00", NOT_FOUND),
        (b"/oauth2/token%zz", NOT_FOUND),
        (b"/oauth2/token%0d%0aX-Canary:%20y", NOT_FOUND),
        (b"/OAuth2/Token", NOT_FOUND),
        (b"/oauth2/t%EF%BD%8Fken", NOT_FOUND),
        (b"/oauth2/t\xc3\xb6ken", BROKEN),
        (b"/oauth2/token\x00", BROKEN),
        (b"/canary".ljust(8000, b"a"), NOT_FOUND),
        (b"/canary".ljust(8191, b"a"), BROKEN),
        (b"/oauth2/token?subject_token=canary", IN_THE_URL),
    )
)
PATHS = (
    *_PATHS,
    # RFC 3986 6.2.2.2: an escape of an unreserved letter is that letter.
    Case("a path with an escaped letter", posted(b"<hollow>", path=b"/oauth2/%74oken"), UNDERSTOOD),
    Case("a path with an empty query", posted(b"<hollow>", path=b"/oauth2/token?"), UNDERSTOOD),
)

PARAMETERS = (
    Case("grant_type twice", posted(b"<form>&grant_type=canary"), repeated("grant_type")),
    Case("subject_token twice", posted(b"<form>&subject_token=canary"), repeated("subject_token")),
    Case("scope twice", posted(b"<form>&scope=a&scope=a"), repeated("scope")),
    Case("client_id twice, once empty", posted(b"<form>&client_id=&client_id=a"), repeated("client_id")),
    Case("an unknown parameter twice", posted(b"<form>&unknown=canary&unknown=b"), repeated("unknown")),
    Case("a name with an escape twice", posted(b"<form>&%1b[2Jcanary=a&%1b[2Jcanary=b"), repeated("a parameter")),
    Case("a name in two spellings", posted(b"<form>&grant%5ftype=canary"), repeated("grant_type")),
    Case("an unknown parameter", posted(b"<hollow>&canary=1"), UNDERSTOOD),
    Case("empty parameters", posted(b"<hollow>&scope=&client_id=&resource=&canary="), UNDERSTOOD),
    Case("an empty pair", posted(b"<form>&&x=1"), NOT_A_FORM),
    Case("a name without a value", posted(b"<form>&canary"), NOT_A_FORM),
    Case(
        "pairs between semicolons",
        posted(b"grant_type=canary;x&x=<form>"),
        Says(400, "unsupported_grant_type", "only token-exchange is supported"),
    ),
    Case("65 parameters", posted(b"<form>" + b"".join(b"&p%d=1" % n for n in range(62))), NOT_A_FORM),
    Case("10,000 parameters", posted(b"<form>" + b"".join(b"&p%d=" % n for n in range(10_000))), TOO_LARGE),
    Case("5,000 parameters", posted(b"<form>" + b"".join(b"&p%d=" % n for n in range(5_000))), NOT_A_FORM),
    Case("64 parameters", posted(b"<hollow>" + b"".join(b"&p%d=1" % n for n in range(61))), UNDERSTOOD),
    Case(
        "a line break in a scope",
        posted(b"<form>&scope=%0d%0aX-Canary:%20y"),
        Says(
            400, "invalid_scope", "scope must have at most 2063 characters: scopes separated by spaces (RFC 6749 3.3)"
        ),
    ),
    Case(
        "NUL in a client_id",
        posted(b"<form>&client_id=canary%00"),
        Says(400, "invalid_request", "client_id must be at most 1024 printable ASCII characters"),
    ),
    Case("a line break in an unknown value", posted(b"<hollow>&x=%0d%0aX-Canary:%20y"), UNDERSTOOD),
)

EXPECTATIONS = (
    Case("Expect, unknown", posted(headers=FORM + b"Expect: canary\r\n"), UNEXPECTED),
    Case("Expect, unknown, at no path", posted(path=b"/nowhere", headers=FORM + b"Expect: canary\r\n"), UNEXPECTED),
    Case("Expect, unknown, of GET", posted(path=b"/openapi.json", headers=FORM + b"Expect: canary\r\n"), UNEXPECTED),
    Case(
        "Expect: 100-Continue",
        posted(b"<hollow>", headers=FORM + b"Expect: 100-Continue\r\n"),
        Says(400, "invalid_request", INVALID_TEXT, interim=True),
    ),
    Case(
        "Expect in HTTP/1.0",
        posted(b"<hollow>", headers=FORM + b"Expect: 100-continue\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
        Says(400, "invalid_request", INVALID_TEXT, closes=True),
    ),
)

CASES = (*METHODS, *BODIES, *FRAMING, *HEADS, *PATHS, *PARAMETERS, *EXPECTATIONS)
