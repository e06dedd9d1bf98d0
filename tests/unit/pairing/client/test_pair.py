"""`tallystick pair`: where a pairing token is sent, and what is left on disk and on the terminal."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from tallystick.crypto.keys import SigningKey
from tallystick.crypto.tokens import verify
from tallystick.localplane.pki import prepare_serving
from tallystick.pairing.domain.tokens import MASTER
from tests.fakes import FakeClock
from tests.worlds.pair_site import LOOPBACK, Site, a_site, certificates
from tests.worlds.replica import Replica

__all__ = ["certificates"]


async def test_pairing_writes_a_master_token_bound_to_a_new_key(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(site.replica.pairing_token(), client_id="https://mc.example.net")

    key_file = tmp_path / "master-token.key"
    master, key = site.out.read_text(), SigningKey.from_pem(key_file.read_bytes())
    issuer, keys = site.replica.issuer, site.replica.keyring()
    verified = verify(master.rstrip("\n"), keys, profile=MASTER, issuer=issuer, now=datetime.now(UTC))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        f"Paired with {issuer}. The master token is in {site.out}, and its key is in {key_file}.\n"
    )
    assert verified.key_thumbprint == key.key_id
    assert [stat.S_IMODE(path.stat().st_mode) for path in (site.out, key_file)] == [0o600, 0o600]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["master-token", "master-token.key", "pairing-token"]


async def test_standard_output_carries_the_master_token_and_nothing_else(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(site.replica.pairing_token(), "--no-dpop", token_file="-", out=None)

    issuer, keys = site.replica.issuer, site.replica.keyring()
    assert result.exit_code == 0
    assert verify(result.stdout.removesuffix("\n"), keys, profile=MASTER, issuer=issuer, now=datetime.now(UTC))


async def test_after_a_lost_answer_the_same_key_gets_the_master_token(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        site.lose_answers = 1
        result = await site.pair(site.replica.pairing_token())

    assert (result.exit_code, site.posts) == (0, [200, 200])
    assert len(site.replica.master_tokens()) == 1
    assert site.out.exists()


async def test_without_a_key_a_lost_answer_is_lost_and_the_message_says_why(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        site.lose_answers = 1
        result = await site.pair(site.replica.pairing_token(), "--no-dpop")

    assert result.exit_code == 1
    assert "has already been used; an earlier response was lost" in result.stderr
    assert not site.out.exists()


async def test_running_it_again_with_the_key_file_gives_the_same_token(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        token = site.replica.pairing_token()
        await site.pair(token)
        first = site.out.read_text()
        again = await site.pair(token, "--force")

    assert again.exit_code == 0
    assert site.out.read_text() == first


async def test_an_existing_file_is_not_overwritten_and_the_token_not_used(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        site.out.write_text("precious")
        result = await site.pair(site.replica.pairing_token())

    assert result.exit_code == 1
    assert "add --force" in result.stderr
    assert site.out.read_text() == "precious"
    assert site.replica.status_of()["state"] == "Active"


async def test_a_token_of_another_issuer_is_sent_nowhere(certificates, tmp_path):
    stranger = Replica(clock=FakeClock(datetime.now(UTC)))

    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(stranger.pairing_token())

    assert result.exit_code == 1
    assert f"was not issued by {site.replica.issuer}, so it was not sent" in result.stderr
    assert site.posts == []
    assert not site.out.exists()


async def test_an_issuer_that_does_not_prove_itself_by_the_ca_is_not_talked_to(certificates, tmp_path):
    other, _ = prepare_serving(tmp_path / "other", "other", now=datetime.now(UTC))

    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(site.replica.pairing_token(), ca_file=str(other.certificate))

    assert result.exit_code == 1
    assert "cannot verify the TLS certificate" in result.stderr
    assert "--ca-file" in result.stderr
    assert site.replica.status_of()["state"] == "Active"


async def test_an_issuer_under_another_name_is_refused(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        named = site.replica.issuer.replace(LOOPBACK, "localhost")
        result = await site.pair(site.replica.pairing_token(), issuer=named)

    assert result.exit_code == 1
    assert f"{named} publishes another issuer name" in result.stderr


async def test_a_refusal_is_reported_in_the_words_of_the_service(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        result = await site.pair(site.replica.pairing_token(), scope="root")

    assert result.exit_code == 1
    assert result.stderr == 'error: scope "root" is not part of use case mission-control\n'


async def test_a_redirect_is_not_followed(certificates, tmp_path):
    visited = []

    async def move(request: web.Request) -> web.Response:
        visited.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", move)
    async with a_site(certificates, tmp_path, app) as site:
        result = await site.pair(site.replica.pairing_token())

    assert result.exit_code == 1
    assert "is a redirect, which is not followed" in result.stderr
    assert visited == ["/.well-known/oauth-authorization-server"]


async def test_a_server_that_is_not_there_is_reported_as_such(certificates, tmp_path):
    async with a_site(certificates, tmp_path) as site:
        pass

    result = await site.pair(site.replica.pairing_token())

    assert result.exit_code == 1
    assert "cannot be read: the connection failed" in result.stderr


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        pytest.param([], {"out": "-", "token_file": "-"}, id="nowhere to keep the key"),
        pytest.param(["--no-dpop"], {"key_file": "k"}, id="a key and no key"),
        pytest.param([], {"issuer": "http://trust.example.com"}, id="an issuer without TLS"),
        pytest.param([], {"issuer": "https://trust.example.com/"}, id="an issuer with a slash at its end"),
        pytest.param([], {"issuer": "https://user@trust.example.com"}, id="an issuer with a user"),
        pytest.param([], {"issuer": None}, id="no issuer"),
    ],
)
async def test_a_wrong_command_line_ends_with_2(tmp_path, options, changes):
    site = Site(Replica(), tmp_path, tmp_path / "ca.crt")

    result = await site.pair("a.b.c", *options, **changes)

    assert result.exit_code == 2
    assert not (tmp_path / "master-token.key").exists()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        pytest.param(lambda f: {"token_file": str(f / "none")}, "cannot be read: No such file", id="no token file"),
        pytest.param(lambda f: {"token_file": str(f)}, "cannot be read: Is a directory", id="a folder"),
        pytest.param(lambda f: {"ca_file": str(f / "none")}, "--ca-file", id="no CA"),
        pytest.param(lambda f: {"out": str(f / "none" / "out")}, "cannot be written", id="no folder to write to"),
        pytest.param(lambda f: {"token_file": made(f / "t", b"\xff\xfe")}, "it is not text", id="a binary token"),
        pytest.param(lambda f: {"token_file": made(f / "t", b"\n")}, "it is empty", id="an empty token"),
        pytest.param(lambda f: {"token_file": made(f / "t", b"a" * 9000)}, "too long", id="a long token"),
        pytest.param(lambda f: {"key_file": made(f / "k", b"?")}, "not an unencrypted private key", id="no key"),
    ],
)
async def test_files_that_cannot_be_used_are_named(certificates, tmp_path, prepare, said):
    site = Site(Replica(), tmp_path, certificates[0].certificate)

    result = await site.pair("a.b.c", **prepare(tmp_path))

    assert result.exit_code == 1
    assert said in result.stderr
    assert not site.out.exists()


def made(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)
