"""The agent inside a process that something else made and speaks to, such as a Ray actor."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence

from mlstudio_lab.calling.interrupt import on_sigint
from mlstudio_lab.worker.agent import Agent
from mlstudio_lab.worker.prewarm import prewarm
from mlstudio_lab.worker.streams import Descriptors


def hosted(home: str, threads: Sequence[threading.Thread] = ()) -> Agent:
    """A warm agent that owns its process's output and SIGINT, as in a local worker; call it on the main thread.

    Args:
        home: The home's folder, as this process sees it.
        threads: The host's own threads, which are not observed.

    Example:
        >>> hosted("/data/studio").about()["pid"] == os.getpid()
        True
    """
    signal.signal(signal.SIGINT, on_sigint)
    descriptors = Descriptors()
    agent = Agent(home)
    agent.own_threads = (*threads, descriptors.thread)
    agent.at_begin, agent.at_end = descriptors.begin, descriptors.end
    while not prewarm():
        pass
    return agent
