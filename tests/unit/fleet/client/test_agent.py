"""`tallystick agent` against a replica that is reached over TLS."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from tallystick.exchange.server import ServeSettings, listening
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.command_line import agent
from tallystick.localplane.pki import KeyPair, prepare_serving
from tests.fakes import FakeClock
from tests.worlds.fleet_http import FleetHttp
from tests.worlds.fleet_world import NAMESPACE

LOOPBACK = "127.0.0.1"


@dataclass
class Site:
    """A project of devices whose replica is reached over TLS, and a folder to work in."""

    fleet: FleetHttp
    folder: Path
    authority: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def store_value(self, generation: int = 1) -> str:
        """Store the value to enroll with in its file."""
        issuer = self.fleet.issuer
        issued = int(self.fleet.clock.now().timestamp())
        value = self.fleet.value(generation=generation, iss=issuer, aud=issuer, iat=issued)
        (self.folder / "token").write_text(f"{value}\n")
        return value

    async def run(self, *options: str, **changes: str) -> Result:
        """Run the command once, in a thread; the server runs on this one's loop."""
        given = {
            "url": self.fleet.issuer,
            "enrolment-token": str(self.folder / "token"),
            "state-dir": str(self.state),
            "ca-file": str(self.authority),
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        arguments = [part for name, value in given.items() for part in (f"--{name}", value)]
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(agent)
        result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--once", *options])
        # Whatever happens, no token is shown.
        assert "eyJ" not in result.output
        return result

    def generation(self, name: str = "proved.json") -> int:
        generation: int = json.loads((self.state / name).read_bytes())["generation"]
        return generation


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyPair, KeyPair]:
    """The authority of the server's certificate, and the certificate."""
    return prepare_serving(tmp_path_factory.mktemp("certificates") / "pki", "exchange", now=datetime.now(UTC))


@asynccontextmanager
async def a_site(certificates: tuple[KeyPair, KeyPair], folder: Path) -> AsyncIterator[Site]:
    """Serve a replica on a free port that is part of its issuer."""
    authority, serving = certificates
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    fleet = FleetHttp(issuer=f"https://{LOOPBACK}:{port}", clock=FakeClock(datetime.now(UTC)))
    fleet.project()
    async with listening(fleet.http.app, ServeSettings(LOOPBACK, port, serving.certificate, serving.key)):
        yield Site(fleet, folder, authority.certificate)


@pytest.fixture
async def site(certificates, tmp_path, monkeypatch) -> AsyncIterator[Site]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    async with a_site(certificates, tmp_path) as site:
        site.store_value()
        yield site


async def test_a_device_enrolls_and_a_later_run_uses_the_copy_of_a_rotation(site):
    first = await site.run("--name", "cam-17")
    idle = await site.run()
    site.fleet.rotate()
    site.fleet.clock.advance(2)
    rotated = await site.run()

    device = site.fleet.devices()[0]
    assert (first.exit_code, idle.exit_code, rotated.exit_code) == (0, 0, 0)
    assert first.stderr == f"Enrolled as {device.name}, with the copy of generation 1.\n"
    assert idle.stderr == ""
    assert rotated.stderr == ("Stored the copy of generation 2.\nThe exchange has accepted the copy of generation 2.\n")
    assert (device.proved, site.generation()) == (2, 2)
    assert site.fleet.cluster.all(DEVICES)[0]["spec"]["displayName"] == "cam-17"
    assert {stat.S_IMODE(path.stat().st_mode) for path in site.state.iterdir()} == {0o600}
    assert not (site.state / "next.json").exists()


async def test_a_device_that_was_deleted_ends_with_status_3_and_the_way_to_enroll_again(site):
    await site.run()
    found = site.fleet.cluster.all(DEVICES)[0]["metadata"]
    await site.fleet.cluster.delete(DEVICES, NAMESPACE, found["name"], uid=found["uid"])
    site.fleet.clock.advance(2)

    removed = await site.run()
    (site.state / "proved.json").unlink()
    again = await site.run()

    assert removed.exit_code == 3
    assert removed.stderr == (
        f"error: the Device was deleted; to enroll again, delete proved.json and next.json in {site.state}\n"
    )
    assert again.exit_code == 0
    assert site.fleet.devices()[0].name == found["name"]


async def test_a_rejected_enrollment_is_status_1_with_the_reason_of_the_exchange(site):
    site.fleet.edit_spec(enrolment="Closed")

    refused = await site.run()

    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: HTTP status 403: ")
    assert refused.stderr.endswith("; next attempt in 1 s\n")
    assert sorted(path.name for path in site.state.iterdir()) == [".lock", "key.pem"]


@pytest.mark.parametrize("content", ["", "two words", "\u00fc", "x" * 9000])
async def test_a_file_without_a_token_is_named(site, content):
    (site.folder / "token").write_text(content)

    result = await site.run()

    assert result.exit_code == 1
    assert "does not contain a token; set the file with key `token` of the Secret" in result.stderr


async def test_a_missing_token_file_is_no_problem_for_a_device_that_has_enrolled(site):
    await site.run()
    (site.folder / "token").unlink()

    later = await site.run()
    new = await site.run(state_dir=str(site.folder / "other"))

    assert later.exit_code == 0
    assert new.exit_code == 1
    assert "cannot be read: No such file or directory" in new.stderr


async def test_an_exchange_that_is_not_trusted_gets_no_token(site, tmp_path):
    other, _ = prepare_serving(tmp_path / "other-pki", "exchange", now=datetime.now(UTC))

    result = await site.run(ca_file=str(other.certificate))

    assert result.exit_code == 1
    assert "--ca-file does not have the CA of this server" in result.stderr
    assert site.fleet.devices() == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1", "https://", "https://a/", "https://a?b", "https://u@a", "https://a:b", "https://[", "a"],
)
async def test_a_url_that_cannot_be_an_exchange_is_a_usage_error(site, url):
    result = await site.run(url=url)

    assert result.exit_code == 2
    assert "--url must be an https URL" in result.output
    assert not site.state.exists()


async def test_a_name_with_control_characters_is_a_usage_error(site):
    assert (await site.run("--name", "a\nb")).exit_code == 2


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("text", "it contains no certificate")])
async def test_a_ca_file_that_cannot_be_used_is_named(site, content, reason):
    file = site.folder / "other.pem"
    if content is not None:
        file.write_text(content)

    result = await site.run(ca_file=str(file))

    assert result.exit_code == 1
    assert reason in result.stderr
