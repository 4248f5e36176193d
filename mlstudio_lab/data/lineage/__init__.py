"""Column lineage: which input columns each output column of a run came from."""

from mlstudio_lab.data.lineage.outputs import edges_all_to_all
from mlstudio_lab.data.lineage.tracker import Tracker

__all__ = ["Tracker", "edges_all_to_all"]
