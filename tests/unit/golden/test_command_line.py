"""The command line prints the same help, manifests and OpenAPI document as before."""

from pathlib import Path

import pytest
import yaml

from tests.unit.golden import product
from tests.unit.golden.stored import assert_no_others, assert_same

REPOSITORY = Path(__file__).parents[3]
COMMANDS = [pytest.param(path, id=" ".join(("tallystick", *path))) for path in product.commands()]


@pytest.fixture
def plain_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print help 100 columns wide and without colors, whatever the environment says."""
    for name in ("FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def file_of(path: tuple[str, ...]) -> str:
    return "-".join(("tallystick", *path)) + ".txt"


@pytest.mark.usefixtures("plain_help")
@pytest.mark.parametrize("path", COMMANDS)
def test_help(path: tuple[str, ...]) -> None:
    printed = product.command_line(*path, "--help")

    assert "\x1b" not in printed
    assert_same(f"help/{file_of(path)}", "".join(f"{line.rstrip()}\n" for line in printed.splitlines()))


def test_every_stored_help_is_that_of_a_command() -> None:
    assert_no_others("help", {file_of(path) for path in product.commands()})


def with_references(manifests: str) -> str:
    """Put the name of its file in place of each CRD that is the same as in crds/, which another test keeps current."""
    committed = {
        path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (REPOSITORY / "crds").glob("*dev_*.yaml")
    }
    documents = []
    for text in manifests.split("\n---\n"):
        document = yaml.safe_load(text)
        same = [f"# crds/{name}" for name, crd in committed.items() if crd == document]
        documents.append(same[0] if same else text)
    return "\n---\n".join(documents)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        pytest.param("default", (), id="default"),
        pytest.param(
            "service-account",
            ("--namespace", "machine-trust", "--requester", "ServiceAccount"),
            id="another namespace, requester ServiceAccount",
        ),
    ],
)
def test_manifests(name: str, flags: tuple[str, ...]) -> None:
    assert_same(f"manifests-{name}.yaml", with_references(product.command_line("manifests", *flags)))


def test_manifests_of_two_watched_namespaces() -> None:
    assert_same("manifests-watched.yaml", with_references(product.manifests_of_two_watched_namespaces()))


def test_openapi() -> None:
    committed = (REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8")

    current = product.command_line("openapi") == committed

    assert current, "the HTTP API has changed; if it is meant, run `tallystick openapi > docs/openapi.json`"
