"""The commands of the READMEs for Argo CD and Flux name files and flags that exist. `make gitops` runs them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallystick.localplane.build import find_binaries
from tests.gitops.commands import ARGO, FLUX, PAGES, commands, paths_in
from tests.gitops.customizations import rendered

Json = dict[str, Any]

# What each tool gets, by the words of `kubectl apply --output=name`.
OBJECTS = {
    ARGO: {"ConfigMap argocd-cm", "Application tallystick"},
    FLUX: {
        "GitRepository tallystick",
        "Kustomization tallystick-crds",
        "Kustomization tallystick-operator",
        "Kustomization tallystick-tokens",
    },
}
EACH = pytest.mark.parametrize("title", [ARGO, FLUX])


def objects(folder: Path, flag: str, path: str) -> list[Json]:
    if flag == "--kustomize":
        return rendered(folder / path)
    return [body for body in yaml.safe_load_all((folder / path).read_text()) if body]


@EACH
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_commands_apply_each_object_of_the_tool(page: Path, title: str):
    applied = [objects(PAGES[page], *place) for command in commands(page, title) for place in paths_in(command)]

    assert {f"{body['kind']} {body['metadata']['name']}" for bodies in applied for body in bodies} == OBJECTS[title]


@EACH
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_kubectl_has_each_command_and_flag(page: Path, title: str):
    for program, verb, *words in commands(page, title):
        assert (program, verb) == ("kubectl", "apply")
        text = subprocess.run(
            [find_binaries(print).kubectl, verb, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert [word for word in words if word.startswith("--") and f" {word}=" not in text] == []


@EACH
def test_both_pages_have_the_same_commands(title: str):
    first, second = ([resolved(words, folder) for words in commands(page, title)] for page, folder in PAGES.items())

    assert first == second


def resolved(words: list[str], folder: Path) -> list[str]:
    paths = {path: str((folder / path).resolve()) for _, path in paths_in(words)}
    return [paths.get(word, word) for word in words]
