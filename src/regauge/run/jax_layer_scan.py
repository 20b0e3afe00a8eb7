"""Scans over stacked layers during a check, taken apart where every layer must be seen by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import nnx

Scan = Callable[[Any, Any], Any]
Met = Callable[[Any, int, Any], None]


def steps(function: Scan, met: Met | None = None) -> Scan:
    """`nnx.scan` of a function (carry, layer) -> carry, as the loop over the layers that it stands for.

    Inside a scan all layers are one trace: they would draw one mask for all, and what is taken out of it is no array.

    Args:
        function: that is scanned.
        met: is told of the stacked module, the index and the layer, before each layer is called.
    """

    def loop(carry: Any, stacked: Any) -> Any:
        graphdef, state = nnx.split(stacked)
        after = []
        for index in range(depth(stacked)):
            layer = nnx.merge(graphdef, jax.tree.map(lambda array, index=index: array[index], state))
            if met is not None:
                met(stacked, index, layer)
            carry = function(carry, layer)
            after.append(nnx.state(layer))
        nnx.update(stacked, jax.tree.map(lambda *arrays: jnp.stack(arrays), *after))
        return carry

    return loop


def depth(stacked: Any) -> int:
    """The number of layers in a module whose variables are stacked along their first axis."""
    return int(jax.tree.leaves(nnx.state(stacked))[0].shape[0])


@contextmanager
def layer_scans(change: Callable[[Scan, Scan], Scan]) -> Iterator[None]:
    """Within the block every scan over stacked layers is what `change` makes of its function and of the scan itself.

    Other uses of `nnx.scan` stay as they are.
    """
    own = nnx.scan

    def scan(f: Any = None, **options: Any) -> Any:
        if f is None:
            return lambda function: scan(function, **options)
        scanned = own(f, **options)
        if options.get("in_axes") != (nnx.Carry, 0) or options.get("out_axes") is not nnx.Carry or len(options) > 2:
            return scanned
        changed = change(f, scanned)

        def chosen(*args: Any) -> Any:
            of_layers = len(args) == 2 and isinstance(args[1], nnx.Module)
            return changed(*args) if of_layers else scanned(*args)

        return chosen

    with mock.patch.object(nnx, "scan", scan):
        yield


def looped(met: Met | None = None) -> Any:
    """Within the block every scan over stacked layers is a loop; `met` as in `steps`."""
    return layer_scans(lambda function, scanned: steps(function, met))
