"""Fetches datasets from their publishers, unpacks them, and opens them once as a check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from toolkit.data.dataset import SYNTHETIC, data_command, default_folder, open_dataset
from toolkit.errors import DataError, DownloadError, MissingSplitError
from toolkit.reading.files import expanded, is_there
from toolkit.registry.manifests import DatasetManifest
from toolkit.runtime.archives import is_archive, unpack
from toolkit.runtime.downloads import fetch
from toolkit.runtime.locks import waiting_for
from toolkit.wording import quoted


def fetch_dataset(manifest: DatasetManifest, folder: str | Path | None = None) -> Iterator[str]:
    """Fetch the files of a dataset and unpack them so that it can be opened. Nothing in them is executed.

    What already exists is not fetched again: neither files, nor what was unpacked from files that have since
    been removed. The caller has to ask whether ``manifest.terms`` are accepted.

    Args:
        manifest: the manifest that discovery found.
        folder: the destination; None stands for ``default_folder(manifest.name)``.

    Yields:
        What was done, one line each; the last is the command that checks the data.

    Raises:
        DownloadError: when there is nothing to fetch (says what to put where by hand), when the folder has
            the generated sample instead, or when a file cannot be fetched or is not the expected one.
        DataError: when the fetched files are not what the dataset's reader expects.
        OutputError: when the files cannot be written.
    """
    root = default_folder(manifest.name) if folder is None else expanded(folder)
    if not manifest.downloads:
        raise DownloadError(by_hand(manifest, root))
    if is_there(root / SYNTHETIC):
        raise DownloadError(
            f"{root} contains the synthetic sample of {manifest.name}, not the published data. Hint: remove"
            " this folder, or name another one with --data-dir"
        )
    if _is_there(manifest, root):
        contents = _contents(manifest, root)
        yield f"{manifest.name} is already in {quoted(root)}, so nothing is downloaded: {contents}"
        yield f"Next: {data_command('check', manifest, root)}"
        return
    instead = (
        f"try things without the data: toolkit data sample {manifest.name} generates a synthetic version"
        if manifest.sample
        else ""
    )
    for download in manifest.downloads:
        path = fetch(download, root, instead=instead)
        if not is_archive(path):
            yield f"downloaded {quoted(path)}"
        else:
            # it may take minutes
            yield f"downloaded {quoted(path)}, unpacking it"
            with waiting_for(path, f"unpacking {path}"):
                unpack(path, root, download.subfolder, max_ratio=download.max_ratio)
            yield f"unpacked into {quoted(root)}; {quoted(path.name)} is no longer needed"
    yield f"{manifest.name} is in {quoted(root)}: {_contents(manifest, root)}"
    yield f"Next: {data_command('check', manifest, root)}"


def by_hand(manifest: DatasetManifest, folder: Path) -> str:
    """The message for a dataset that cannot be fetched: where it comes from, and what to put where."""
    lines = [
        f"{manifest.name} cannot be downloaded by this command. It is published at {manifest.origin_url}"
        if manifest.origin_url
        else f"There is nothing to download for {manifest.name}: it reads your own files.",
        f"License: {manifest.license}",
        f"Hint: put the files into {folder}, so that it contains: {manifest.layout}",
        f"Then check them: {data_command('check', manifest, folder)}",
    ]
    if manifest.sample:
        lines.append(f"To try things without them: toolkit data sample {manifest.name}")
    return "\n".join(lines)


def _is_there(manifest: DatasetManifest, folder: Path) -> bool:
    """Whether a dataset can be opened from a folder that has none of the files that would be fetched."""
    if not folder.is_dir() or any(folder.glob("*.part")):
        return False
    if any((folder / download.name).exists() for download in manifest.downloads):
        return False
    try:
        for split in dict.fromkeys((manifest.splits[0], manifest.val_split)):
            open_dataset(manifest, folder, split)
    except DataError:
        return False
    return True


def _contents(manifest: DatasetManifest, folder: Path) -> str:
    """The number of samples of each split that the folder contains."""
    counts = []
    for split in manifest.splits:
        try:
            counts.append(f"{split} {len(open_dataset(manifest, folder, split)):,}")
        except MissingSplitError:
            continue
        except DataError as error:
            raise DataError(f"what was downloaded for {manifest.name} is not as expected: {error}") from error
    if not counts:
        raise DataError(
            f"what was downloaded for {manifest.name} has none of the splits {', '.join(manifest.splits)}."
            f" Hint: look in {folder}, which must contain: {manifest.layout}"
        )
    return f"samples by split: {', '.join(counts)}"
