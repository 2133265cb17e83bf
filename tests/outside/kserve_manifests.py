"""Manifests against KServe's own description of them: python -m tests.outside.kserve_manifests FILE..."""

import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import Any

import yaml

# The package itself imports its servers, seconds of it.
kserve = types.ModuleType("kserve")
kserve.__path__ = importlib.util.find_spec("kserve").submodule_search_locations  # type: ignore[union-attr, assignment]
sys.modules["kserve"] = kserve
models = importlib.import_module("kserve.models")


def check(cls: Any, data: dict[str, Any]) -> None:
    """Every key is a field of the class, all the way down as far as KServe itself describes it."""
    names = {key: name for name, key in cls.attribute_map.items()}
    assert set(data) <= set(names), f"{cls.__name__}: {set(data) - set(names)}"
    for key, value in data.items():
        kind = re.fullmatch(r"(list\[)?(\w+)\]?", cls.openapi_types[names[key]])
        inner = getattr(models, kind[2], None) if kind else None
        if inner is not None:
            for part in value if kind[1] else [value]:
                check(inner, part)


if __name__ == "__main__":
    for file in sys.argv[1:]:
        manifest = yaml.safe_load(Path(file).read_text())
        version = manifest["apiVersion"].rpartition("/")[2].capitalize()
        check(getattr(models, version + manifest["kind"]), manifest)
