"""One object graph: values come back equal, shared where they were shared, and changes reach the live objects."""

from __future__ import annotations

import collections
import datetime as dt
import random
import socket
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from data_made import frames, values
from data_people import Bag, Colour, Guarded, Pair, People, Point, Shelf, Slotted, double, make
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.errors import CannotCross, StorageFailed
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.content import digest_values
from mlstudio_lab.data.graph import NodeTable, apply_updates, can_update, code_in, pack, unpack
from mlstudio_lab.wire.task import Payload

CODE = NoCode()


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> LocalBlobs:
    return LocalBlobs(tmp_path_factory.mktemp("blobs"))


class Crossing:
    """Values on this side, their copies on the other, and the way back."""

    def __init__(self, blobs: LocalBlobs, **values: Any) -> None:
        self.blobs = blobs
        self.here = values
        self.known = NodeTable.of(values)
        sent = pack(values, blobs, CODE, nodes=self.known)
        arrived = unpack(Payload.from_json(sent.to_json()), blobs, CODE)
        self.there = arrived.values
        self.nodes = arrived.nodes
        self.before = arrived.nodes.snapshot()

    def back(self, **results: Any) -> dict[str, Any]:
        """Sends results and changes back, applies the changes, and gives the results as they arrive."""
        payload = pack(results, self.blobs, CODE, known=self.nodes, updates=self.nodes.changed(self.before))
        self.payload = Payload.from_json(payload.to_json())
        arrived = unpack(self.payload, self.blobs, CODE, known=self.known)
        apply_updates(arrived.updates, self.known)
        return arrived.values


def digests(values: dict[str, Any]) -> dict[str, str]:
    found = digest_values(values, CODE)
    assert all(value.digest for value in found.values()), found
    return {name: value.digest for name, value in found.items()}


@given(st.dictionaries(st.sampled_from("abc"), values, max_size=3))
@settings(max_examples=200, deadline=None)
def test_values_come_back_the_same(blobs: LocalBlobs, values: dict[str, Any]) -> None:
    table = NodeTable.of(values)
    arrived = unpack(pack(values, blobs, CODE), blobs, CODE)
    assert digests(arrived.values) == digests(values)
    assert [type(node) for node in arrived.nodes.nodes] == [type(node) for node in table.nodes]
    assert [type(node) for node in NodeTable.of(arrived.values).nodes] == [type(node) for node in table.nodes]
    assert arrived.nodes.changed(arrived.nodes.snapshot()) == []


@given(frames)
@settings(max_examples=150, deadline=None)
def test_frames_come_back_the_same(blobs: LocalBlobs, frame: Any) -> None:
    payload = pack({"x": frame}, blobs, CODE)
    back = unpack(payload, blobs, CODE).values["x"]
    if isinstance(frame, pl.DataFrame):
        assert back.schema == frame.schema
        assert back.equals(frame)
    elif isinstance(frame, pd.DataFrame):
        pd.testing.assert_frame_equal(back, frame, check_exact=True, check_flags=True)
        assert back.attrs == frame.attrs
    else:
        assert back.equals(frame)
        assert back.schema.equals(frame.schema, check_metadata=True)


def test_a_refit_model_is_seen_through_its_pipeline(blobs: LocalBlobs) -> None:
    scaler, model = StandardScaler(), RandomForestRegressor(3, random_state=0)
    pipe = make_pipeline(scaler, model)
    run = Crossing(blobs, model=model, pipe=pipe, scaler=scaler)
    rows = np.arange(20.0).reshape(10, 2)
    run.there["pipe"].fit(rows, rows[:, 0])
    back = run.back(fitted=run.there["pipe"], only=run.there["model"])
    assert back["fitted"] is pipe
    assert back["only"] is model is pipe.steps[1][1]
    assert np.array_equal(pipe.predict(rows), run.there["pipe"].predict(rows))
    again = Crossing(blobs, model=model)
    again.there["model"].fit(rows, rows[:, 1])
    again.back()
    assert pipe.steps[1][1].predict(rows)[0] == again.there["model"].predict(rows)[0]


def test_a_result_that_is_an_input_is_that_very_object(blobs: LocalBlobs) -> None:
    x, frame, array = [1, [2]], pl.DataFrame({"a": [1]}), np.arange(50_000.0)
    run = Crossing(blobs, x=x, frame=frame, array=array)
    there = run.there
    back = run.back(y=there["x"], inner=there["x"][1], wrapped=(there["frame"], {"k": there["array"]}), other=there["frame"].clone())
    assert back["y"] is x
    assert back["inner"] is x[1]
    assert back["wrapped"][0] is frame
    assert back["wrapped"][1]["k"] is array
    assert back["other"] is not frame
    assert back["other"].equals(frame)


def test_results_can_be_read_where_the_live_objects_are_not(blobs: LocalBlobs) -> None:
    run = Crossing(blobs, x=[1], frame=pl.DataFrame({"a": [1]}))
    run.there["x"].append(run.there["frame"])
    run.back(y=run.there["x"], z=[run.there["frame"]])
    plain = unpack(run.payload, blobs, CODE)
    assert plain.updates == []
    assert plain.values["y"][0] == 1
    assert plain.values["y"][1] is plain.values["z"][0]
    assert plain.values["y"][1].equals(pl.DataFrame({"a": [1]}))


def test_nodes_are_meant_by_name_whatever_else_is_there(blobs: LocalBlobs) -> None:
    x, y, frame = [1], {"k": [2]}, pl.DataFrame({"a": [1]})
    run = Crossing(blobs, frame=frame, x=x, y=y)
    run.there["x"].append(run.there["frame"])
    run.there["y"]["k"].append(3)
    run.there["frame"][0, "a"] = 5
    payload = pack({"y": run.there["y"], "f": [run.there["frame"]]}, blobs, CODE, known=run.nodes, updates=run.nodes.changed(run.before))
    # The same question asked again elsewhere: there the frame is a dataset and no live object.
    other_x, other_y = [1], {"k": [2]}
    known = NodeTable.of({"y": other_y, "x": other_x})
    arrived = unpack(payload, blobs, CODE, known=known)
    apply_updates(arrived.updates, known)
    assert arrived.values["y"] is other_y
    assert other_y == {"k": [2, 3]}
    assert other_x[1] is arrived.values["f"][0]
    assert other_x[1].to_dicts() == [{"a": 5}]
    assert x == [1]


def test_numbering_may_follow_other_names_than_the_graph(blobs: LocalBlobs) -> None:
    x, y = [1], [2]
    table = NodeTable.of({"arg x": x, "arg y": y})
    arrived = unpack(pack({"args": [x], "kwargs": {"y": y}}, blobs, CODE, nodes=table), blobs, CODE)
    arrived.values["args"][0].append(9)
    assert arrived.nodes.place(arrived.nodes.number(arrived.values["kwargs"]["y"]) or 0) == ("arg y", 0, "builtins.list")
    back = pack({"return": arrived.values["kwargs"]["y"]}, blobs, CODE, known=arrived.nodes, updates=[0])
    final = unpack(back, blobs, CODE, known=table)
    apply_updates(final.updates, table)
    assert final.values["return"] is y
    assert x == [1, 9]


def test_every_kind_is_updated_in_place(blobs: LocalBlobs) -> None:
    kinds: dict[str, Any] = {
        "list": [1], "dict": {"a": 1}, "set": {1}, "bytearray": bytearray(b"ab"), "deque": collections.deque([1], 5), "counter": collections.Counter("aa"),
        "ordered": collections.OrderedDict(a=1, b=2), "default": collections.defaultdict(list, a=[1]), "point": Point(1), "slotted": Slotted(1),
        "guarded": Guarded(), "bag": Bag(a=1), "shelf": Shelf([1]), "array": np.zeros(3), "big": np.zeros((100, 200)), "objects": np.array([1, "a"], dtype=object),
        "pandas": pd.DataFrame({"a": [1, 2]}), "series": pd.Series([1, 2], name="s"), "polars": pl.DataFrame({"a": [1, 2]}), "column": pl.Series("c", [1]),
        "random": random.Random(1), "generator": np.random.default_rng(1), "sparse": scipy.sparse.lil_array((2, 2)), "pair": Pair([1], [2]),
    }  # fmt: skip
    holders = {name: [value] for name, value in kinds.items()}
    run = Crossing(blobs, **kinds, holders=holders)
    there = run.there
    there["list"][:] = [2, 3]
    there["dict"].pop("a")
    there["dict"]["b"] = there["list"]
    there["set"] ^= {1, 2}
    there["bytearray"][:] = b"xyz"
    there["deque"].extend([2, 3])
    there["counter"].update("b")
    there["ordered"].move_to_end("a")
    there["default"]["new"].append(1)
    there["point"].x, there["point"].more = 2, [3]
    del there["slotted"].a
    there["slotted"].b = 7
    there["guarded"].items.append(1)
    there["guarded"].items = [*there["guarded"].items, 2]
    there["bag"].b = 2
    there["shelf"].append(2)
    there["shelf"].label = "new"
    there["array"] += 1
    there["big"][3, 4] = 5
    there["objects"][0] = {"k": 1}
    there["pandas"]["b"] = ["x", "y"]
    del there["pandas"]["a"]
    there["series"].iloc[0] = 9
    there["series"].name = "t"
    there["polars"][0, "a"] = 9
    there["polars"].insert_column(0, pl.Series("new", [5, 6]))
    there["column"].append(pl.Series("c", [2]))
    there["random"].random()
    there["generator"].random()
    there["sparse"][0, 1] = 5
    there["pair"].left.append(2)
    expected = digests({k: v for k, v in there.items() if k != "holders"})
    run.back()
    for name, value in kinds.items():
        assert run.here[name] is value
        assert holders[name][0] is value
    assert digests(kinds) == expected
    assert kinds["dict"]["b"] is kinds["list"]
    assert not hasattr(kinds["slotted"], "a")
    assert next(iter(kinds["ordered"])) == "b"
    assert kinds["deque"].maxlen == 5


def test_nothing_changed_means_no_updates(blobs: LocalBlobs) -> None:
    run = Crossing(
        blobs, a=np.zeros(9), b=[{"k": {1, 2}}], c=pd.DataFrame({"x": ["a"]}), d=RandomForestRegressor(2).fit([[1], [2]], [1, 2])
    )
    run.there["c"].loc[0], run.there["d"].predict([[1]])
    assert run.nodes.changed(run.before) == []


def test_arrays_keep_sharing_their_memory(blobs: LocalBlobs) -> None:
    whole = np.arange(24.0).reshape(4, 6)
    column, row, inner = whole[:, 2], whole[1], whole[1:3, ::2]
    run = Crossing(blobs, whole=whole, column=column, row=row, inner=inner)
    run.there["column"][1] = 99
    assert run.there["whole"][1, 2] == run.there["row"][2] == run.there["inner"][0, 1] == 99
    run.back()
    assert whole[1, 2] == row[2] == inner[0, 1] == 99
    assert np.shares_memory(whole, column)


def test_arrays_arrive_writable_and_private(blobs: LocalBlobs) -> None:
    big = np.arange(400_000.0)
    payload = pack({"a": big, "f": pd.DataFrame({"x": big})}, blobs, CODE)
    one, two = unpack(payload, blobs, CODE).values, unpack(payload, blobs, CODE).values
    one["a"] += 1
    one["f"].loc[0, "x"] = -1.0
    assert two["a"][0] == 0
    assert two["f"]["x"][0] == 0
    assert unpack(payload, blobs, CODE).values["a"][0] == 0
    locked = big.copy()
    locked.flags.writeable = False
    assert not unpack(pack({"a": locked}, blobs, CODE), blobs, CODE).values["a"].flags.writeable


@pytest.mark.parametrize("array", [
    np.zeros((2, 3, 4)).transpose(1, 2, 0), np.asfortranarray(np.ones((2, 3))), np.zeros((4, 4))[::2, ::-1], np.array(5.0), np.zeros((0, 3)), np.array([1 + 2j]),
    np.array(["a", "bc"]), np.array([b"a"]), np.array(["2020-01-01", "NaT"], "M8[D]"), np.zeros(2, np.dtype([("a", "u1"), ("b", "f8", 2)], align=True)),
    np.zeros(2, ">i4"), np.broadcast_to(np.arange(3), (2, 3)), np.array([["a", None], [1, 2]], dtype=object, order="F"), np.ma.masked_array([1, 2], [True, False]),
    np.matrix([[1]]), np.rec.array([(1, "a")]),
], ids=str)  # fmt: skip
def test_arrays_come_back_the_same(blobs: LocalBlobs, array: Any) -> None:
    back = unpack(pack({"a": array}, blobs, CODE), blobs, CODE).values["a"]
    assert type(back) is type(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array, equal_nan=array.dtype.kind in "fcmM") or array.dtype.kind in "OV"
    assert digests({"a": back}) == digests({"a": array})


def test_lazy_frames_come_back_lazy(blobs: LocalBlobs) -> None:
    payload = pack({"l": pl.LazyFrame({"a": [1, 2]}).filter(pl.col("a") > 1), "s": pl.Series("s", ["x"])}, blobs, CODE)
    back = unpack(payload, blobs, CODE).values
    assert isinstance(back["l"], pl.LazyFrame)
    assert back["l"].collect().to_dicts() == [{"a": 2}]
    assert back["s"].to_list() == ["x"]
    assert next(leaf for leaf in payload.leaves if leaf.codec.startswith("lazy")).columns == ["a"]


def test_frames_are_leaves_with_columns_and_content(blobs: LocalBlobs) -> None:
    frame = pl.DataFrame({"a": [1], "b": ["x"]})
    payload = pack({"x": frame, "n": {"deep": [frame]}, "i": 1}, blobs, CODE)
    (leaf,) = payload.leaves
    assert leaf.columns == ["a", "b"]
    assert leaf.content == digest_values({"x": frame}, CODE)["x"].content
    assert blobs.has(leaf.blob)
    assert payload.values["i"].summary == "int"
    assert payload.values["x"].content == leaf.content


def test_big_graphs_become_blobs(blobs: LocalBlobs) -> None:
    payload = pack({"x": [str(i) for i in range(50_000)]}, blobs, CODE)
    assert (payload.graph, bool(payload.graph_blob)) == ("", True)
    assert unpack(payload, blobs, CODE).values["x"][-1] == "49999"


def test_the_persons_classes_and_functions_cross_by_name(blobs: LocalBlobs) -> None:
    class Local:
        def __init__(self) -> None:
            self.inner = [self]

    nested = make()
    here, there_class = People(Local=Local, nested=nested, Colour=Colour), type("Local", (), {})
    there = People(Local=there_class, nested=double, Colour=Colour)
    thing = Local()
    payload = pack({"x": thing, "f": nested, "c": {Colour.RED: Local}}, blobs, here)
    back = unpack(payload, blobs, there).values
    assert type(back["x"]) is there_class
    assert back["x"].inner[0] is back["x"]
    assert back["f"] is double
    assert back["c"] == {Colour.RED: there_class}
    with pytest.raises(CannotCross, match="Local is not defined here"):
        unpack(payload, blobs, People(nested=double))


def test_what_cannot_cross_is_named(blobs: LocalBlobs, tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    with socket.socket() as plug, (tmp_path / "f").open("w") as file:
        for bad in (connection, plug, file, threading.Lock(), (i for i in ()), make(), sys._getframe(), Point(threading.local())):
            with pytest.raises(CannotCross) as caught:
                pack({"fine": [1], "bad": {"k": [bad]}}, blobs, CODE)
            assert caught.value.subject.startswith("bad (")
            assert caught.value.hint
    connection.close()


def test_live_widgets_do_not_cross(blobs: LocalBlobs) -> None:
    widgets = pytest.importorskip("ipywidgets")
    with pytest.raises(CannotCross, match="x: a ipywidgets"):
        pack({"x": [widgets.IntSlider()]}, blobs, CODE)
    assert digest_values({"x": widgets.IntSlider()}, CODE)["x"].digest == ""


def test_inputs_that_could_not_be_brought_up_to_date_stay(blobs: LocalBlobs) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = pyplot.figure()
    pyplot.close(figure)
    for value in (iter([1]), map(str, [1]), figure):
        values = {"x": [value]}
        assert pack(values, blobs, CODE).graph
        with pytest.raises(CannotCross, match=r"x: a .* would not change here"):
            pack(values, blobs, CODE, nodes=NodeTable.of(values))


def test_bunches_come_back_the_same(blobs: LocalBlobs) -> None:
    iris = {"iris": load_iris(as_frame=True)}
    assert digests(unpack(pack(iris, blobs, CODE), blobs, CODE).values) == digests(iris)


def test_too_deep_to_cross_is_said_not_crashed(blobs: LocalBlobs) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CannotCross, match="nested too deeply"):
        pack({"deep": deep}, blobs, CODE)


def test_figures_do_not_enter_pyplot_again(blobs: LocalBlobs) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, _ = pyplot.subplots()
    payload = pack({"figure": figure}, blobs, CODE)
    pyplot.close("all")
    assert unpack(payload, blobs, CODE).values["figure"].axes
    assert pyplot.get_fignums() == []


def test_an_array_that_changed_its_shape_is_refused_before_anything_changes(blobs: LocalBlobs) -> None:
    x, array = [1], np.zeros(3)
    run = Crossing(blobs, array=array, x=x)
    run.there["x"].append(2)
    run.there["array"].shape = (3, 1)
    with pytest.raises(CannotCross, match="another shape"):
        run.back()
    assert x == [1]
    assert array.shape == (3,)


def test_can_update_is_told_beforehand() -> None:
    locked = np.zeros(2)
    locked.flags.writeable = False
    assert all(
        map(
            can_update,
            ([], {}, set(), bytearray(), Point(1), Slotted(1), Guarded(), np.zeros(2), pd.DataFrame(), pl.DataFrame(), random.Random()),
        )
    )
    assert not any(map(can_update, (1, "a", (1,), locked, pa.table({"a": [1]}), dt.date(2020, 1, 1), iter(()))))


def test_code_in_values_is_found(blobs: LocalBlobs) -> None:
    found = code_in({"x": [Point(double), {Slotted(1)}, len], "y": (Colour.RED, threading.Lock())}, ["data_people"])
    assert {item.__name__ for item in found} == {"Point", "double", "Slotted", "Colour"}


# ---- whatever happens to a graph of lists, dicts and objects, the live one becomes what the other side made of it ----

steps = st.lists(st.tuples(st.sampled_from(["link", "drop", "new", "set", "clear"]), st.integers(0, 9), st.integers(0, 9)), max_size=8)


def _change(nodes: list[Any], what: str, a: int, b: int) -> None:
    target, other = nodes[a % len(nodes)], nodes[b % len(nodes)]
    fresh: Any = {"link": other, "new": [[b]], "set": b}.get(what)
    if isinstance(target, list):
        if what in ("drop", "clear"):
            target[:] = target[: 0 if what == "clear" else -1]
        else:
            target.append(fresh)
    elif isinstance(target, dict):
        if what in ("drop", "clear"):
            target.clear()
        else:
            target[f"k{b}"] = fresh
    elif isinstance(target, Point):
        target.y = fresh if what != "drop" else None
    elif what == "set" and target.flags.writeable:
        target[...] = b


@given(st.data(), steps, steps)
@settings(max_examples=200, deadline=None)
def test_graphs_change_alike_on_both_sides(blobs: LocalBlobs, data: st.DataObject, before: list[Any], after: list[Any]) -> None:
    nodes: list[Any] = [[], {}, Point(0), np.zeros(2), [], Point(1)]
    for what, a, b in before:
        _change(nodes, what, a, b)
    names = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
    here = {f"v{i}": nodes[i] for i in names}
    run = Crossing(blobs, **here)
    identities = [id(node) for node in run.known.nodes]
    for what, a, b in after:
        _change(run.nodes.nodes, what, a, b)
    back = run.back(result=run.nodes.nodes[-1])
    assert back["result"] is run.known.nodes[-1]
    assert digests({**here, **back}) == digests({**run.there, "result": run.nodes.nodes[-1]})
    assert [id(node) for node in run.known.nodes] == identities


def test_a_disk_that_cannot_be_written_is_not_the_values_fault(tmp_path):
    (tmp_path / "blobs").write_text("")
    with pytest.raises(StorageFailed):
        pack({"x": pl.DataFrame({"a": [1]})}, LocalBlobs(tmp_path / "blobs"), NoCode())
