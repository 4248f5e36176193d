"""Cards are compared with golden files: what a saved notebook shows must not change by accident."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import mlstudio_lab
from mlstudio_lab.client.lineage import LINEAGE_MIME, Lineage
from mlstudio_lab.front.cards import CARD_MIME, card, duration, many, progress, size, version_card
from mlstudio_lab.front.errors import show_own_lines

GOLDEN = Path(__file__).parent.parent / "golden" / "cards"

EDGES = [
    *[
        {"output": "return", "output_column": c, "input": "flights/flights", "input_column": c, "kind": "direct", "subtype": "IDENTITY"}
        for c in ("carrier", "tailnum")
    ],
    {
        "output": "return",
        "output_column": "recent",
        "input": "flights/flights",
        "input_column": "arr_delay",
        "kind": "direct",
        "subtype": "AGGREGATION",
    },
    {
        "output": "return",
        "output_column": "recent",
        "input": "flights/flights",
        "input_column": "carrier",
        "kind": "indirect",
        "subtype": "WINDOW",
    },
    {
        "output": "return",
        "output_column": "recent",
        "input": "weather@" + "ab" * 32,
        "input_column": "temp",
        "kind": "opaque",
        "subtype": "",
    },
]
LABELS = {"flights/flights.tailnum": {"asserted": {"sensitivity": "confidential", "tags": ["pii.id"]}, "propagated": None}}
RAN = {
    "id": "01J", "number": 41, "module": "flights/features", "version": "ff" * 32, "version_number": 3, "kind": "function", "state": "succeeded",
    "reused": False, "stored": True, "why": "ran: helper `clean` changed since v2", "executor": "ray", "edges": 5,
    "edge_kinds": {"direct": 3, "indirect": 1, "opaque": 1}, "usage": {"wall_s": 0.4, "moved_bytes": 5_000_000_000, "moving_s": 9.0},
    "warnings": [{"output": "return", "column": "tailnum", "label": "confidential", "from": "flights/flights.tailnum", "text": "tailnum is confidential, from flights/flights.tailnum"}],
    "dev_newer": 4, "actor": "ada",
}  # fmt: skip
REUSED = {
    **RAN,
    "reused": True,
    "reused_from": 41,
    "number": 42,
    "why": "reused: same code, same inputs (run 41)",
    "executor": "",
    "usage": {},
    "warnings": [],
    "dev_newer": None,
}
FAILED = {
    "number": 43,
    "module": "flights/features",
    "version_number": 3,
    "state": "failed",
    "why": "ran: argument `days` changed",
    "executor": "local",
    "failure": {"type": "builtins.ValueError", "message": "no such day\nsecond line", "frames": []},
}
TIMED_OUT = {**FAILED, "failure": {"type": "mlstudio_lab.core.errors.RunTimedOut", "message": "a/b took longer", "frames": []}}
HOSTILE = {
    **RAN,
    "module": "a/b",
    "why": "<script>alert(1)</script> & \"quotes\" 'too'",
    "warnings": [{"label": "<b>", "text": "<img src=x onerror=alert(1)>"}],
    "usage": {},
    "dev_newer": None,
}

CASES = {
    "ran": lambda: card(RAN, Lineage({"subject": "run 41", "edges": EDGES, "labels": LABELS, "widened": ["weather was read with .collect()"]})),
    "reused": lambda: card(REUSED),
    "failed": lambda: card(FAILED),
    "hostile": lambda: card(HOSTILE, Lineage({"subject": "<i>", "edges": [{**EDGES[0], "output_column": "<script>", "input_column": "</td>"}]})),
    "many": lambda: many([RAN, REUSED, REUSED, FAILED]),
    "version": lambda: version_card({"name": "flights/clean", "number": 2, "id": "ab", "kind": "function", "entry": "clean", "new": True}),
    "old_version": lambda: version_card({"name": "flights/clean", "number": 2, "id": "ab", "kind": "function", "entry": "clean", "new": False}, is_old=True),
    "progress": lambda: progress({"module": "flights/model", "state": "running", "executor": "local", "progress": 0.25}, 3.2),
}  # fmt: skip


class Tags(HTMLParser):
    """Checks that tags close in order, and collects what a browser would run."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        assert not [a for a, _ in attrs if a.startswith("on")], f"{tag} has a script attribute"
        if tag not in ("br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_card_is_what_it_was(name):
    bundle = CASES[name]()
    for mime, ending in (("text/html", "html"), ("text/plain", "txt")):
        path = GOLDEN / f"{name}.{ending}"
        if os.environ.get("MLSTUDIO_WRITE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(bundle[mime] + "\n")
        assert bundle[mime] + "\n" == path.read_text()


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_card_is_complete_without_script_and_well_formed(name):
    html = CASES[name]()["text/html"]
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert not tags.open
    assert not tags.seen & {"script", "img", "link", "iframe", "object"}
    assert not re.search(r"color:\s*#|background:\s*#|color:\s*(black|white)", html), "a fixed colour is unreadable in one of the themes"


def test_plain_text_has_no_addresses_times_or_seconds():
    text = CASES["ran"]()["text/plain"]
    assert not re.search(r"0x[0-9a-f]+|\d\d:\d\d|\bms\b|GB", text)
    assert "why" not in text and "ran: helper `clean` changed since v2" in text
    assert "warning: tailnum is confidential" in text


def test_a_card_says_when_moving_cost_more_than_computing_and_names_the_remedy():
    html = card(RAN)["text/html"]
    assert "computed in 400 ms, moved 5.0 GB in 9.0 s" in html and "datasets" in html
    assert "moved" not in card({**RAN, "usage": {"wall_s": 9.0, "moving_s": 0.2}})["text/html"]


def test_the_vendor_part_holds_ids_and_facts_but_no_values():
    data = CASES["ran"]()[CARD_MIME]
    assert data["number"] == 41 and data["lineage"]["counts"] == {"direct": 3, "indirect": 1, "opaque": 1}
    assert "outputs" not in data and "log" not in data


def test_warnings_beyond_a_few_fold_away():
    view = {**RAN, "warnings": [{"label": "confidential", "text": f"column c{n}"} for n in range(9)], "usage": {}}
    html = card(view)["text/html"]
    assert "4 more warnings" in html and html.index("column c4") < html.index("4 more warnings") < html.index("column c8")


def test_lineage_of_all_columns_on_all_columns_is_one_row():
    edges = [
        {"output": "table", "output_column": f"o{i}", "input": "x", "input_column": f"i{j}", "kind": "opaque", "subtype": ""}
        for i in range(40)
        for j in range(40)
    ]
    lineage = Lineage({"subject": "run 1", "edges": edges})
    assert len(lineage.grouped()) == 1
    assert len(lineage.html()) < 20_000
    assert lineage._repr_mimebundle_()[LINEAGE_MIME]["counts"]["opaque"] == 1600


def test_a_huge_lineage_is_cut_in_the_saved_notebook_only():
    edges = [
        {"output": "t", "output_column": f"o{i}", "input": "x", "input_column": f"o{i}", "kind": "direct", "subtype": "IDENTITY"}
        for i in range(3000)
    ]
    lineage = Lineage({"subject": "run 1", "edges": edges})
    data = lineage._repr_mimebundle_()
    assert len(lineage) == 3000 and len(data[LINEAGE_MIME]["edges"]) == 2000 and data[LINEAGE_MIME]["truncated"]
    assert len(data["text/html"]) < 60_000


@pytest.mark.parametrize(("seconds", "said"), [(0.0001, "under 1 ms"), (0.05, "50 ms"), (59.94, "59.9 s"), (3661, "61 min 1 s")])
def test_durations(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e12, "2.5 TB")])
def test_sizes(count, said):
    assert size(count) == said


def test_a_failure_of_ours_is_named_without_its_module():
    text = card(TIMED_OUT)["text/plain"]
    assert "RunTimedOut: a/b took longer" in text and "mlstudio_lab" not in text


def test_an_interrupt_while_a_run_is_waited_for_shows_no_frames_of_ours():
    waiting = Path(mlstudio_lab.__file__).parent / "client" / "waiting.py"
    for file, is_hidden in ((str(waiting), True), ("<cell>", False)):
        scope: dict[str, Any] = {}
        exec(compile("def stop():\n    raise KeyboardInterrupt\n", file, "exec"), scope)
        with pytest.raises(KeyboardInterrupt) as caught:
            scope["stop"]()
        show_own_lines(None, caught.value)
        assert hasattr(caught.value, "_render_traceback_") is is_hidden
