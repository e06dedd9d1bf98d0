"""The image of the operator for the cluster of the tests."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import tallystick
from tallystick.localplane.folders import Progress

REPOSITORY = Path(__file__).parents[2]
NAME = f"ghcr.io/tallystick/tallystick:{tallystick.__version__}"


class ImageError(Exception):
    """The image could not be built. The text has the end of the builder's output."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image by repository and tag; `archive` is None for one that the cluster pulls."""

    repository: str
    tag: str
    archive: Path | None


def pulled_image(name: str) -> Image:
    """Return an image that the nodes of the cluster pull."""
    repository, _, tag = name.rpartition(":")
    return Image(repository, tag, None)


def built_image(which: str, folder: Path, report: Progress) -> Image:
    """Build the image: by Docker or Podman for kind, and by buildah for a node of our own.

    Args:
        which: The kind of cluster, `node` or `kind`.
        folder: The folder for the archive.
        report: Receives the lines of progress.

    Raises:
        ImageError: The build failed.
    """
    archive = folder / "image.tar"
    report(f"Building {NAME} ...")
    if which == "kind":
        engine = shutil.which("docker") or shutil.which("podman") or "docker"
        _run(engine, "build", "--file", "operator/Dockerfile", "--tag", NAME, ".")
        _run(engine, "save", "--output", str(archive), NAME)
    else:
        _run("operator/image.sh", NAME, str(archive))
    repository, _, tag = NAME.rpartition(":")
    return Image(repository, tag, archive)


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise ImageError(f"{' '.join(command[:2])} failed:\n{(done.stderr or done.stdout)[-3000:]}")
