"""A Secret as kubelet mounts it: a folder for each version, and a link that is swapped when all files are there."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class MountedSecret:
    """The folder of one volume."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = 0

    def write(self, files: Mapping[str, str]) -> None:
        """Replace all files at once, and delete those of the version before."""
        former = (self.folder / "..data").resolve() if self.versions else None
        self.versions += 1
        version = self.folder / f"..2026_11_30_{self.versions}"
        version.mkdir(parents=True)
        for name, text in files.items():
            (version / name).write_text(text)
        for link in self.folder.iterdir():
            if link.is_symlink() and link.name not in {*files, "..data"}:
                link.unlink()
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.replace(self.folder / "..data")
        if former is not None:
            for path in former.iterdir():
                path.unlink()
            former.rmdir()

    def write_secret(self, secret: Mapping[str, Any]) -> None:
        """Write what a Secret holds."""
        self.write({name: base64.b64decode(value).decode() for name, value in secret["data"].items()})
