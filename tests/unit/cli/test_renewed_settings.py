"""The processes follow the files that other programs renew: the CA bundle, the use cases, the CA of the API server."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tallystick.cli.authority import follow_authority
from tallystick.cli.compose_controller import _follow_ca, pem_bundle
from tallystick.errors import InvalidSettingError
from tallystick.localplane.pki import prepare_serving
from tallystick.pairing import feature
from tallystick.pairing.feature import _follow_use_cases
from tallystick.runtime import renewed_files
from tallystick.runtime.renewed_files import RenewedFiles
from tests.worlds.replica import Replica

TABLE = "useCases: {%s: {scope: [%s]}}\n"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("authorities")
    made = [prepare_serving(folder / name, name, now=datetime.now(UTC))[0] for name in ("first", "second")]
    return [authority.certificate.read_text() for authority in made]


def test_the_secrets_get_the_renewed_ca_and_are_all_looked_at(authorities: list[str], tmp_path: Path) -> None:
    path, files, looks = tmp_path / "ca.crt", RenewedFiles(), list[None]()
    path.write_text(authorities[0])
    ca_pem = _follow_ca(path, files, lambda: looks.append(None))
    before, looks_before = ca_pem(), len(looks)

    path.write_text("".join(authorities))
    files.look()
    both = ca_pem()
    path.write_text("half a certi")
    files.look()

    assert (before, both, ca_pem()) == (authorities[0], "".join(authorities), "".join(authorities))
    assert len(looks) == looks_before + 1


@pytest.mark.parametrize("content", [b"", b"half a certi", b"\xff\xfe"])
def test_a_bundle_without_a_certificate_is_not_taken(content: bytes) -> None:
    with pytest.raises(ValueError, match="holds no certificate"):
        pem_bundle(content)


def test_a_new_use_case_is_offered_and_shown_without_a_restart(tmp_path: Path) -> None:
    path, files, replica = tmp_path / "use-cases.yaml", RenewedFiles(), Replica()
    path.write_text(TABLE % ("press", "press:read"))
    settings = replica.settings.model_copy(update={"use_cases_file": path})
    ready = _follow_use_cases(replica.tokens, settings, files)
    before, digest = replica.tokens.policy.use_cases.names, ready["useCases"]

    path.write_text(TABLE % ("archive", "archive:read"))
    files.look()
    after, new_digest = replica.tokens.policy.use_cases.names, ready["useCases"]
    path.write_text("useCases: {}\n")
    files.look()

    assert (before, after, replica.tokens.policy.use_cases.names) == ("press", "archive", "archive")
    assert digest != new_digest == replica.tokens.policy.use_cases.digest == ready["useCases"]


def test_a_changed_use_case_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides that the table has changed is the table that is used, even if the file changes at once again."""
    path, files, replica = tmp_path / "use-cases.yaml", RenewedFiles(), Replica()
    path.write_text(TABLE % ("press", "press:read"))
    reads, read = list[bytes](), renewed_files.read_setting_file

    def read_and_changed_at_once(flag: str, file: Path) -> bytes:
        reads.append(read(flag, file))
        path.write_text(TABLE % ("later", "later:read"))
        return reads[-1]

    for module in (renewed_files, feature):
        monkeypatch.setattr(module, "read_setting_file", read_and_changed_at_once)
    _follow_use_cases(replica.tokens, replica.settings.model_copy(update={"use_cases_file": path}), files)
    path.write_text(TABLE % ("archive", "archive:read"))
    reads.clear()
    files.look()

    assert len(reads) == 1
    assert replica.tokens.policy.use_cases.names == "archive"


def test_a_use_case_file_that_is_invalid_at_the_start_is_an_error(tmp_path: Path) -> None:
    path, replica = tmp_path / "use-cases.yaml", Replica()
    path.write_text("useCases: {}\n")
    settings = replica.settings.model_copy(update={"use_cases_file": path})

    with pytest.raises(InvalidSettingError, match="use-case"):
        _follow_use_cases(replica.tokens, settings, RenewedFiles())


def test_a_new_ca_of_the_api_server_is_trusted_without_a_restart(authorities: list[str], tmp_path: Path) -> None:
    path, files, context = tmp_path / "ca.crt", RenewedFiles(), ssl.create_default_context(cadata=authorities[0])
    path.write_text(authorities[0])
    connection: Any = SimpleNamespace(ca_file=path, ssl_context=context)
    before = len(context.get_ca_certs())
    follow_authority(connection, files)

    path.write_text("half a certi")
    files.look()
    damaged = len(context.get_ca_certs())
    path.write_text(authorities[1])
    files.look()

    assert (before, damaged, len(context.get_ca_certs())) == (1, 1, 2)


@pytest.mark.parametrize(("ca_file", "context"), [(None, True), (Path("ca.crt"), False)])
def test_without_a_file_or_without_tls_there_is_no_ca_to_follow(ca_file: Path | None, context: bool) -> None:
    connection: Any = SimpleNamespace(ca_file=ca_file, ssl_context=ssl.create_default_context() if context else False)

    follow_authority(connection, RenewedFiles())
