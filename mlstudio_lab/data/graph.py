"""One object graph with identity: named values to a payload, back, and changes put into the live objects."""

from __future__ import annotations

from mlstudio_lab.data.nodes import NodeTable
from mlstudio_lab.data.pack import pack
from mlstudio_lab.data.reach import code_in
from mlstudio_lab.data.unpack import Unpacked, unpack
from mlstudio_lab.data.updates import Update, apply_updates, can_update

__all__ = ["NodeTable", "Unpacked", "Update", "apply_updates", "can_update", "code_in", "pack", "unpack"]
