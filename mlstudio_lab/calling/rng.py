"""States of the global random number generators, small and comparable."""

from __future__ import annotations

import base64
import random
import struct
import sys
from collections.abc import Mapping
from typing import Any


def rng_state() -> dict[str, Any]:
    """Generator -> state for `random`, and numpy's and torch's where they are loaded; JSON values.

    Example:
        >>> before = rng_state(); _ = random.random(); before == rng_state()
        False
    """
    _, words, gauss = random.getstate()
    state: dict[str, Any] = {"random": [base64.b64encode(struct.pack("<625I", *words)).decode(), gauss]}
    if (module := sys.modules.get("numpy.random")) is not None and hasattr(module, "get_state"):
        name, keys, position, has_gauss, cached = module.get_state()
        if name == "MT19937":
            state["numpy"] = [base64.b64encode(keys.astype("<u4").tobytes()).decode(), int(position), int(has_gauss), float(cached)]
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_rng_state"):
        state["torch"] = base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode()
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Puts states back; a generator whose library is not loaded is imported, one not named is left alone."""
    if packed := state.get("random"):
        random.setstate((3, struct.unpack("<625I", base64.b64decode(packed[0])), packed[1]))
    if packed := state.get("numpy"):
        import numpy as np

        keys = np.frombuffer(base64.b64decode(packed[0]), "<u4").astype(np.uint32)
        np.random.set_state(("MT19937", keys, packed[1], packed[2], packed[3]))
    if (packed := state.get("torch")) and "torch" in sys.modules:
        import numpy as np

        torch = sys.modules["torch"]
        torch.set_rng_state(torch.from_numpy(np.frombuffer(base64.b64decode(packed), np.uint8).copy()))


def seed(number: int) -> None:
    """Seeds `random`, and the generators of numpy, polars and torch where they are loaded."""
    random.seed(number)
    if (module := sys.modules.get("numpy.random")) is not None:
        module.seed(number % (1 << 32))
    if (polars := sys.modules.get("polars")) is not None:
        polars.set_random_seed(number % (1 << 63))
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(number)


def positions() -> dict[str, Any]:
    """Cheap marks of the generators' states: they differ when a generator was used or set in between."""
    marks: dict[str, Any] = {"random": hash(random.getstate()[1:])}
    if (module := sys.modules.get("numpy.random")) is not None and hasattr(module, "get_state"):
        _, keys, position, has_gauss, cached = module.get_state()
        marks["numpy"] = (hash(keys.tobytes()), int(position), int(has_gauss), float(cached))
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_rng_state"):
        marks["torch"] = hash(torch.get_rng_state().numpy().tobytes())
    return marks
