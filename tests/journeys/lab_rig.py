"""A real JupyterLab in a process of its own, with one small notebook."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlstudio_lab.settings import Settings

TOKEN = "journey"
SMALL = [
    "%load_ext mlstudio_lab\nimport polars as pl",
    "%%module shop/total\ndef total(orders: pl.LazyFrame, at_least: int = 0) -> pl.LazyFrame:\n"
    "    return orders.filter(pl.col('price') >= at_least).select(pl.col('price').sum())",
    "orders = pl.DataFrame({'price': [1, 2, 30], 'who': ['a', 'b', 'c']})\ntotal(orders.lazy(), at_least=2).collect()",
    "%%module shop/best\nbest = orders.sort('price', descending=True).head(1)\nprint('best', best['price'][0])",
]

# A command given before the session is ready asks which kernel to use; a person would see that nothing is ready yet.
KERNEL_IS_IDLE = """async () => {
  const [panel] = [...window.jupyterapp.shell.widgets('main')].filter(widget => widget.sessionContext);
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session.kernel;
  await kernel.info;
  while (kernel.status !== 'idle') {
    await new Promise(resolve => kernel.statusChanged.connect(function once() {
      kernel.statusChanged.disconnect(once);
      resolve();
    }));
  }
}"""


def notebook(cells: list[str]) -> dict[str, Any]:
    return {
        "cells": [
            {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": text}
            for i, text in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"display_name": "ML Studio", "language": "python", "name": "mlstudio"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@dataclass
class Lab:
    """A JupyterLab, the studio's settings it was started with, and its notebook folder."""

    url: str
    settings: Settings
    folder: Path
    environment: dict[str, str]

    def mlstudio(self, *words: str) -> None:
        """Runs one command of the CLI on this home."""
        command = [str(Path(sys.executable).with_name("mlstudio")), "--home", str(self.settings.home), *words]
        done = subprocess.run(command, env=self.environment, check=False, timeout=90, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quiet(config: Path) -> None:
    """Settings of somebody who has been here before: no question about news, no tour."""
    asked = config / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    asked.mkdir(parents=True)
    (asked / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))


@contextlib.contextmanager
def running_lab(folder: Path, home: Path, cells: list[str]) -> Iterator[Lab]:
    """A JupyterLab with one notebook, on a home whose studio is not started yet."""
    work = folder / "work"
    work.mkdir(parents=True)
    (work / "small.ipynb").write_text(json.dumps(notebook(cells)))
    quiet(folder / "config")
    port = free_port()
    environment = {
        **os.environ,
        "HOME": str(folder),
        "MLSTUDIO_HOME": str(home),
        "MLSTUDIO_EXECUTOR": "local",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.ip=127.0.0.1"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={work}", "--LabApp.expose_app_in_browser=True"]
    log = (folder / "lab.log").open("wb")
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=work, start_new_session=True)
    try:
        deadline = threading.Event()
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None, (folder / "lab.log").read_text()[-3000:]
            deadline.wait(0.1)
        else:
            pytest.fail((folder / "lab.log").read_text()[-3000:])
        yield Lab(f"http://127.0.0.1:{port}", Settings.read(environment), work, environment)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        log.close()
