"""The source distribution of pykka: fetched once, checked, unpacked outside the sources."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

__all__ = ["VERSION", "fetch"]

VERSION = "4.5.0"
_SHA256 = "820fcc36046552b49d7eb61fe98088d1a29631cf3314e8ce4bc26aaead8dcd4f"


def fetch(store: Path) -> Path:
    """The folder of the unpacked distribution below ``store``; fetched if it is not there yet.

    Raises:
        ValueError: what came is not what was released.
    """
    folder = store / f"pykka-{VERSION}"
    archive = store / f"pykka-{VERSION}.tar.gz"
    if not archive.exists():
        store.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-binary", "pykka", "--dest", str(store)]
        subprocess.run([*command, f"pykka=={VERSION}"], check=True)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != _SHA256:
        archive.unlink()
        raise ValueError(f"{archive.name} has the checksum {digest}, expected was {_SHA256}")
    if not folder.exists():
        with tarfile.open(archive) as opened:
            opened.extractall(store, filter="data")
    return folder
