"""Where sources can be read: one address form per kind of reference."""

from __future__ import annotations

import re

import pytest

from regauge.decide.facts import Source, load

FORMS = {
    "https://docs.jax.dev/en/latest/faq.html": ("https://docs.jax.dev/en/latest/faq.html",),
    "github.com/jax-ml/jax@cec06d1:docs/faq.rst": ("https://github.com/jax-ml/jax/blob/cec06d1/docs/faq.rst",),
    "jax-ml/jax@cec06d1:docs/faq.rst": ("https://github.com/jax-ml/jax/blob/cec06d1/docs/faq.rst",),
    "github.com/horovod/horovod@2626dc8 (commit log)": ("https://github.com/horovod/horovod/commits/2626dc8",),
    "PyPI metadata, 2026-11: torchrl, gymnasium": (
        "https://pypi.org/project/torchrl/",
        "https://pypi.org/project/gymnasium/",
    ),
    "pypi: torch 2.15.0 requires_dist": ("https://pypi.org/project/torch/2.15.0/",),
    "pypi: jax 0.12.0.1 metadata": ("https://pypi.org/project/jax/0.12.0.1/",),
    "pypi: pip index versions torch": ("https://pypi.org/project/torch/#history",),
    "torch 2.13.0+cpu package:torch/_tensor.py": ("https://pypi.org/project/torch/2.13.0/",),
    "jax 0.10.2 package: jax.pmap.__doc__": ("https://pypi.org/project/jax/0.10.2/",),
    "observed with torch 2.13.0 (CPU): pip list": (),
    "a remark without an address": (),
}


@pytest.mark.parametrize("reference", FORMS)
def test_the_address_of_a_reference(reference: str) -> None:
    source = Source(reference, "docs")
    assert source.links == FORMS[reference]
    assert source.url == next(iter(FORMS[reference]), None)


SOURCES = sorted({source for fact in load().facts for source in fact.sources}, key=lambda source: source.ref)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.ref)
def test_every_source_but_observations_can_be_looked_up(source: Source) -> None:
    if source.kind == "observed":
        assert source.links == ()
        return
    assert source.links
    for link in source.links:
        assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[^\s|]*)?", link), link
    hosts = {"repo": "https://github.com/", "registry": "https://pypi.org/", "package": "https://pypi.org/"}
    assert source.links[0].startswith(hosts.get(source.kind, "https://"))
