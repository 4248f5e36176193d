"""Column lineage: which input columns each output column of a run came from.

How it works, and why an edge cannot be missed:

1. Inputs stay native. A polars frame or plan that is handed in is the person's own object at full speed. `leaves` puts a
   resolver around each frame that becomes a plan: when polars resolves the plan to run or explain it, the resolver answers
   with the native plan, so optimizer and engine see what they always see; when we resolve it to read it, with a scan that
   carries the leaf. Leaves are thus told apart by identity, never by address, name, shape or content. A leaf that is not
   ours depends on every column handed in.
2. Plans are read exactly (`plan`, `nodes`, `joins`, `expressions`, `functions`): polars' own resolved plan, without
   optimizations, node by node. Each rule knows one construct. A construct without a rule, one the visitor refuses to show,
   or one whose columns do not come out as expected, depends opaquely on all columns of its inputs. Python code in an
   expression is bounded by the columns polars itself asks the leaves for.
3. Frames in memory are followed (`frames`, `eager`). What `collect`, and eager polars, which runs through plans, gives is
   known by what its plan said. The table holds each known native frame while anybody else does, so that no address is
   reused. What a frame becomes without a plan (`head`, `concat`, changes in place) has a rule, or is a read.
4. Python's reads are seen (`watch`). All data is behind two Rust classes and the Rust module's functions. While a run is
   observed every one of their methods is wrapped, except those listed as telling only names and types or as building plans:
   a method nobody thought of is a read. What Python has read, in whatever thread, is an opaque dependency of every output,
   because it can decide anything: a threshold, a branch, a literal, which frame is returned. A plan that fails is a read, and
   so are frames handed to or given back by Python functions inside plans, and callbacks that decide a plan.
5. What is neither a polars frame nor a plan (`outputs`) depends on what Python read when it cannot hold a frame unread (numbers,
   text, arrays, pandas and Arrow tables), else on everything handed in. Inputs that are no polars frames count for every output.
6. On a polars whose plan version is not in `plan.TESTED`, when a second traced run runs in the same process at the same time,
   or without polars, everything depends on everything, and the reason is given.

Out of sight: bytes that leave the process and come back (a file written without polars and read again), and code that goes
around Python's attribute look-up into polars' memory. Files scanned inside a plan are inputs of their own, `file:PATH`.
"""

from mlstudio_lab.data.lineage.outputs import edges_all_to_all
from mlstudio_lab.data.lineage.tracker import Tracker

__all__ = ["Tracker", "edges_all_to_all"]
