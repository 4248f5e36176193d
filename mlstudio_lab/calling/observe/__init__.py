"""What a run reads and touches besides its inputs, and why its result may not be reused."""

from mlstudio_lab.calling.observe.observer import Observer

__all__ = ["Observer"]
