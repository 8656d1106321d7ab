"""The facts that are gathered on this host plan here as the host itself."""

from __future__ import annotations

import json

import pytest

from ocirun import hostfacts
from ocirun.commands import planning
from ocirun.container import CreateOptions
from ocirun.errors import OcirunError
from ocirun.host.facts_file import FactsFile

from .test_hostfacts import V2, config


def test_what_is_gathered_here_plans_as_here() -> None:
    document = json.loads(json.dumps(hostfacts.gather()))
    assert set(document) == {*V2, "treeNamespace"}  # which documents of older versions have not
    where = FactsFile(document, "facts.json")
    made = config({"devices": [{"allow": False, "access": "rwm"}]})
    options = CreateOptions(activation=False)
    try:
        here = planning.explain("", "web", "/run/ocirun", options, config=made)
    except OcirunError as error:
        with pytest.raises(type(error)):
            planning.explain("", "web", "/run/ocirun", options, config=made, where=where)
        return
    assert planning.explain("", "web", "/run/ocirun", options, config=made, where=where) == here


def test_this_kernel_is_asked() -> None:
    """What it says is what it does; the helper's call is the same."""
    assert isinstance(hostfacts.gather()["treeNamespace"], bool)
