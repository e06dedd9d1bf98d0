"""`tallystick up` stays up while the signing keys are lost, so that an administrator can restore them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tallystick.cli.up import _lost_keys

REPORT = "Secret tallystick-system/tallystick-keyring with the signing keys does not exist."


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, _, text = self.path.removeprefix("/").partition("/")
        bodies = {
            "lost": json.dumps({"status": "not ready", "reason": REPORT, "keyring": "KeyringMissing"}),
            "busy": json.dumps({"status": "not ready", "reason": "the first listing is not complete"}),
            "html": "<html>",
        }
        self.send_response(int(status))
        self.end_headers()
        self.wfile.write(bodies[text].encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("page", "report"),
    [("/503/lost", REPORT), ("/503/busy", ""), ("/503/html", ""), ("/200/busy", ""), ("/500/html", "")],
)
def test_only_a_process_that_reports_lost_keys_is_not_waited_for(url, page, report):
    assert _lost_keys(url + page) == report


def test_a_process_that_does_not_answer_yet_is_waited_for(url):
    assert _lost_keys("http://127.0.0.1:1/readyz") == ""
