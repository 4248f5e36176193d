"""A real kernel, cell by cell."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import start_new_kernel

CARD = "application/vnd.mlstudio.card.v1+json"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Said:
    """What one cell put out, in order and by kind."""

    stdout: str = ""
    stderr: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: str = ""
    ename: str = ""
    order: list[str] = field(default_factory=list)

    @property
    def value(self) -> str:
        """The plain text of the cell's result."""
        return (self.result or {}).get("text/plain", "")

    @property
    def cards(self) -> list[str]:
        """The plain text of each card."""
        return [d["text/plain"] for d in self.displays if CARD in d]


class Kernel:
    """An ipykernel that runs cells and tells what they put out."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(kernel_name="python3", env=dict(os.environ))

    def run(self, code: str, timeout: float = 90) -> Said:
        """What a cell put out; its errors are told, not raised."""
        said = Said()
        places: dict[str, int] = {}

        def hook(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                setattr(said, content["name"], getattr(said, content["name"]) + content["text"])
                said.order.append(content["name"])
            elif kind in ("display_data", "update_display_data"):
                place = content.get("transient", {}).get("display_id")
                if kind == "update_display_data" and place in places:
                    said.displays[places[place]] = content["data"]
                    return
                if place:
                    places[place] = len(said.displays)
                said.displays.append(content["data"])
                said.order.append("card" if CARD in content["data"] else "display")
            elif kind == "execute_result":
                said.result = content["data"]
                said.order.append("result")
            elif kind == "error":
                said.error = _COLOUR.sub("", "\n".join(content["traceback"]))
                said.ename = content["ename"]
                said.order.append("error")

        self.client.execute_interactive(code, output_hook=hook, timeout=timeout, stop_on_error=False)
        return said

    def stop(self) -> None:
        """Ends the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
