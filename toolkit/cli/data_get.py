"""``toolkit data get``: asks for acceptance of the terms, and fetches a dataset."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.registry.manifests import DatasetManifest


def get(manifest: DatasetManifest, args: argparse.Namespace) -> int:
    """Fetch a dataset after its terms are accepted; returns the exit code."""
    if not manifest.needs_folder:
        print(f"{manifest.name} is generated; there is nothing to download")
        return 0
    from toolkit.data.fetching import fetch_dataset

    if manifest.downloads:
        _accept_terms(manifest, args.yes)
    for line in fetch_dataset(manifest, args.data_dir):
        print(line, flush=True)
    return 0


def _accept_terms(manifest: DatasetManifest, yes: bool) -> None:
    """Show size and license, and ask for acceptance of the terms before anything is fetched.

    Raises:
        UsageError: when they are not accepted, or nobody can be asked.
    """
    from toolkit.errors import UsageError

    if manifest.size:
        print(f"{manifest.name}: {manifest.size}")
    print(f"License: {manifest.license}", flush=True)
    if not manifest.terms:
        return
    print(f"{manifest.terms}\nPublished at {manifest.origin_url}", flush=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"the terms of {manifest.name} must be accepted before it is downloaded, but this is not a"
            " terminal, so nobody can be asked. Hint: read them, and add --yes to accept them"
        )
    try:
        answer = input("Do you accept them? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError(
            f"the terms of {manifest.name} were not accepted; nothing was downloaded. Hint: answer y, or add"
            " --yes, to accept them"
        )
