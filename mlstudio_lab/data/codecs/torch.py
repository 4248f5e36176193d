"""torch tensors by content, where torch is installed and was imported by the person."""

from __future__ import annotations

from typing import Any

import torch

from mlstudio_lab.core.digest import Digester
from mlstudio_lab.data.naming import qualified, text
from mlstudio_lab.data.shapes import Reader, Shape, immutable, scalar_bytes


def reader_of(kind: type) -> Reader | None:
    """How tensors are taken apart, None for everything else."""
    if kind in (torch.Tensor, torch.nn.Parameter):
        return _tensor, True
    if kind in (torch.dtype, torch.device, torch.Size):
        return immutable, False
    return None


def _tensor(value: Any) -> Shape:
    head = text(qualified(type(value)), str(value.dtype), str(value.device)) + scalar_bytes([*value.shape, bool(value.requires_grad)])

    def content() -> str:
        digester = Digester("torch")
        digester.add(head)
        # Bytes rather than numbers: numpy knows no bfloat16.
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8) if value.numel() else None
        digester.add_buffer(memoryview(raw.numpy()) if raw is not None else b"")
        return digester.hex()

    return Shape(b"torch.tensor", content=content)
