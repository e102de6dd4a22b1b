"""What an inventory refers to on this machine: keys, CA files, known hosts. `validate` looks, `load` doesn't."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from rollsafe.config.secrets import check_secret_references
from rollsafe.model.cluster import Cluster

_FILES = ("private_key", "certificate", "known_hosts", "ca_file")


def check_references(cluster: Cluster, named: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """One sentence for each file or secret that is named and isn't there. Reads no secret; touches no network.

    `named` tells where the inventory names it (`Loaded.named`).
    """
    files = dict.fromkeys(_files(cluster))
    missing = [text for key, file in files if (text := _wrong(named.get(file, key), file))]
    return missing + check_secret_references(cluster, named)


def _wrong(where: str, file: str) -> str | None:
    path = Path(file)
    if not path.is_file():
        return f"{where}: {file}: there is no such file"
    return None if os.access(path, os.R_OK) else f"{where}: {file}: the file may not be read by this user"


def _files(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _files(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _files(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if field.name in _FILES and isinstance(item, str):
                yield field.name, item
            else:
                yield from _files(item)
