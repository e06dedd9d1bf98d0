"""Kubeconfig files as kubectl reads them: the merge of several files, and one context of them.

An entry that kubectl would reject is rejected here, by its name.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from tallystick.kube.kubeconfig_entries import (
    Cluster,
    Context,
    KubeconfigError,
    KubeconfigFile,
    Named,
    User,
    cluster_problems,
    user_problems,
)

N = TypeVar("N", bound=Named)


@dataclass(slots=True)
class Kubeconfig:
    """The merged content of some files. The first file that has a name, or a current context, decides."""

    files: list[Path] = field(default_factory=list)
    current_context: str = ""
    clusters: dict[str, Cluster] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    contexts: dict[str, Context] = field(default_factory=dict)

    def add(self, path: Path, content: KubeconfigFile) -> None:
        """Merge the next file. It changes nothing that an earlier file has."""
        folder = path.absolute().parent
        self.files.append(path)
        self.current_context = self.current_context or content.current_context
        for cluster in _once(path, "clusters", content.clusters):
            self.clusters.setdefault(cluster.name, cluster.cluster.resolved(folder))
        for user in _once(path, "users", content.users):
            self.users.setdefault(user.name, user.user.resolved(folder))
        for context in _once(path, "contexts", content.contexts):
            self.contexts.setdefault(context.name, context.context)

    def selected(self, name: str | None) -> tuple[Cluster, User]:
        """Return cluster and user of a context. None is the current context.

        Raises:
            KubeconfigError: The context, or an entry that it names, is missing or cannot be used.
        """
        where = ", ".join(map(str, self.files))
        chosen = name or self.current_context
        choices = f"use one of: {', '.join(sorted(self.contexts)) or 'none exists'}"
        if not chosen:
            raise KubeconfigError(f"{where}: current-context is not set; set it, or name a context; {choices}")
        context = self.contexts.get(chosen)
        if context is None:
            raise KubeconfigError(f"{where}: context {chosen} does not exist; {choices}")
        cluster = self.clusters.get(context.cluster)
        if cluster is None:
            raise KubeconfigError(f"{where}: context {chosen} names cluster {context.cluster!r}, which does not exist")
        user = self.users.get(context.user, None if context.user else User())
        if user is None:
            raise KubeconfigError(f"{where}: context {chosen} names user {context.user!r}, which does not exist")
        problems = [f"cluster {context.cluster}: {text}" for text in cluster_problems(cluster)]
        problems += [f"user {context.user}: {text}" for text in user_problems(user)]
        if problems:
            raise KubeconfigError(f"{where}: {'; '.join(problems)}")
        return cluster, user

    def namespace(self, name: str | None) -> str:
        """Return the namespace of a context; '' if it has none. None is the current context."""
        context = self.contexts.get(name or self.current_context)
        return "" if context is None else context.namespace


def read_kubeconfig(paths: Iterable[Path], *, all_exist: bool) -> Kubeconfig:
    """Read and merge files.

    Args:
        paths: The files; the first one has precedence.
        all_exist: Whether a file that does not exist is an error. If not, it is left out.

    Raises:
        KubeconfigError: A file cannot be read, or has a wrong form.
    """
    merged = Kubeconfig()
    for path in dict.fromkeys(paths):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            if all_exist:
                raise KubeconfigError(f"{path} does not exist") from error
            continue
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise KubeconfigError(f"{path} cannot be read: {reason}") from None
        merged.add(path, _parsed(path, text))
    return merged


class _Loader(yaml.SafeLoader):
    """YAML without dates: in a kubeconfig, 2024-01-01 is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _parsed(path: Path, text: str) -> KubeconfigFile:
    try:
        # JSON may have tabs between its tokens; the YAML library rejects them.
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)  # noqa: S506 - safe
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else getattr(error, "lineno", 1)
        # `from None`: the cause quotes the file, which can contain keys.
        raise KubeconfigError(f"{path} is not YAML: see line {line}") from None
    try:
        return KubeconfigFile.model_validate({} if document is None else document, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [f"{_place(one['loc'])} {_reason(one['msg'])}" for one in error.errors(include_input=False)]
        raise KubeconfigError(f"{path} is not a kubeconfig: {'; '.join(problems[:3])}") from None


def _place(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".") or "the document"


def _reason(text: str) -> str:
    return text.removeprefix("Value error, ").replace("Input should be", "must be").replace("Input must", "must")


def _once(path: Path, kind: str, entries: list[N]) -> list[N]:
    names = [entry.name for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise KubeconfigError(f"{path}: {kind} has the name {twice!r} twice; remove one of the entries")
    return entries
