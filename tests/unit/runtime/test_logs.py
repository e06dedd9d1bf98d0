"""Logs: one line per event, from our code and from the libraries, with no token in them."""

import io
import json
import logging
import sys

import pytest
import structlog

from tallystick.objects.redaction import holds_token, redact
from tallystick.runtime.logs import configure_logging

LOOKS_LIKE_A_TOKEN = "ey" + "JhbGciOiJub25lIn0.e30.c2ln"
AS_A_SECRET_HAS_IT = "ZX" + "lKaGJHY2lPaUp1YjI1bEluMC5lMzAuYzJsbg=="


@pytest.fixture
def stream():
    """A stream that is logged to; logging is left as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in ("aiohttp", "aiohttp.access", "asyncio", "kopf.objects")}
    hook = sys.excepthook
    yield io.StringIO()
    sys.excepthook = hook
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_are_json_with_level_logger_and_time(stream):
    configure_logging(stream=stream)

    structlog.get_logger("tallystick.queue").warning("reconciliation failed", key="edge/press-1")

    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "reconciliation failed",
        "key": "edge/press-1",
        "level": "warning",
        "logger": "tallystick.queue",
    }


def test_lines_of_the_libraries_look_the_same(stream):
    configure_logging(stream=stream)

    logging.getLogger("kopf.reactor").info("Starting %s", "watchers")

    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("Starting watchers", "info", "kopf.reactor")


@pytest.mark.parametrize("name", ["kopf.objects", "aiohttp.access", "asyncio"])
def test_what_the_libraries_say_of_each_request_and_object_is_not_written(stream, name):
    configure_logging(stream=stream)

    logging.getLogger(name).info("once more")
    logging.getLogger(name).warning("odd")

    assert [line["event"] for line in lines(stream)] == ["odd"]


def test_lines_below_the_level_are_not_written(stream):
    configure_logging(stream=stream, level="WARNING")

    structlog.get_logger("tallystick").info("detail")
    logging.getLogger("kopf").info("detail")

    assert stream.getvalue() == ""


@pytest.mark.parametrize("json_lines", [True, False])
def test_a_token_is_redacted_wherever_it_stands(stream, json_lines):
    configure_logging(stream=stream, json=json_lines)
    log = structlog.get_logger("tallystick")
    body = {"data": {"token": AS_A_SECRET_HAS_IT}}
    text = f"got {LOOKS_LIKE_A_TOKEN}"

    log.warning(text, token=LOOKS_LIKE_A_TOKEN, nested=[{"deep": LOOKS_LIKE_A_TOKEN}])
    logging.getLogger("kopf").warning("body %r with %s", body, LOOKS_LIKE_A_TOKEN)

    assert "eyJ" not in stream.getvalue()
    assert "ZXlK" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 5


def fail_with_a_token() -> None:
    local = LOOKS_LIKE_A_TOKEN + "-local"
    raise ValueError(LOOKS_LIKE_A_TOKEN) from KeyError(local)


@pytest.mark.parametrize("json_lines", [True, False])
@pytest.mark.parametrize("ours", [True, False])
def test_a_traceback_shows_where_but_no_token_and_no_local_variable(stream, json_lines, ours):
    configure_logging(stream=stream, json=json_lines)
    log = structlog.get_logger("tallystick") if ours else logging.getLogger("aiohttp.server")

    try:
        fail_with_a_token()
    except ValueError:
        log.exception("failed")

    text = stream.getvalue()
    assert "in fail_with_a_token" in text
    assert "ValueError: [redacted]" in text
    assert "eyJ" not in text
    assert "local =" not in text.replace('local = LOOKS_LIKE_A_TOKEN + "-local"', "")


PEM = "-----BEGIN PRIVATE " + "KEY-----\nbm90aGluZw\n-----END PRIVATE " + "KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PEM, id="as it is"),
        pytest.param(json.dumps({"privateKey": PEM}), id="in JSON"),
        pytest.param(json.dumps(json.dumps({"privateKey": PEM})), id="in JSON in JSON"),
        pytest.param(PEM.replace("PRIVATE", "EC PRIVATE"), id="of another form"),
        pytest.param(PEM.partition("\n-----END")[0], id="cut off"),
    ],
)
def test_a_private_key_is_redacted_and_the_text_around_it_stays(text):
    assert holds_token(f"before {text} after")
    assert "bm90aGluZw" not in redact(f"before {text} after")
    assert redact(f"before {text} after").startswith("before ")
    assert redact(f"before {text} after").endswith("after") is ("END" in text)


def test_a_certificate_and_a_public_key_stay():
    text = PEM.replace("PRIVATE KEY", "CERTIFICATE") + PEM.replace("PRIVATE", "PUBLIC")
    assert redact(text) == text


def test_an_uncaught_error_is_a_line_of_the_log_too(stream):
    configure_logging(stream=stream)

    try:
        fail_with_a_token()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)

    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("crashed", "critical")
    assert "ValueError: [redacted]" in line["exception"]
    assert "eyJ" not in stream.getvalue()


def test_ctrl_c_is_no_crash(stream, capsys):
    configure_logging(stream=stream)

    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert stream.getvalue() == ""
    assert "KeyboardInterrupt" in capsys.readouterr().err


def test_people_get_text_instead_of_json(stream):
    configure_logging(stream=stream, json=False)

    structlog.get_logger("tallystick").warning("reconciliation failed", key="a")

    assert "reconciliation failed" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    "text",
    [
        "4be13896-30aa-4e0f-8d9d-0d7a4b9a3e11",
        "https://trust.example.com/oauth2/token",
        "they said eyJ",
        "tallystick.dev/v1alpha1",
    ],
)
def test_what_is_no_token_stays(text):
    assert redact(text) == text
    assert not holds_token(text)


def test_the_text_around_a_token_stays():
    assert (
        redact(f"Authorization: DPoP {LOOKS_LIKE_A_TOKEN}, from 10.0.0.1")
        == "Authorization: DPoP [redacted], from 10.0.0.1"
    )
