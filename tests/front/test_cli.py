"""Every command of the first release, in this process against a real service; exit codes and streams as scripts see them."""

import fcntl
import json
import subprocess
import sys

import pytest

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.front.cli.app import State, run
from mlstudio_lab.front.cli.commands import root

SOURCE = """
RATE = 3

def helper(x):
    return x * RATE

def triple(x: int, extra: int = 1) -> int:
    print("tripling")
    return helper(x) + extra

def late(flights):
    return flights.filter(flights["delay"] > 10)

def fails(x):
    raise ValueError("no such day")
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "people.py").write_text(SOURCE)
    (folder / "flights.csv").write_text("plane,delay\nN1,5\nN2,15\nN3,25\n")
    return folder


@pytest.fixture
def cli(home, capfd):
    def call(*args, code=0):
        found = run(root, [*args, "--home", str(home)], State())
        out, err = capfd.readouterr()
        assert found == code, (out, err)
        return (json.loads(out) if "--json" in args else out), err

    return call


@pytest.fixture(scope="module")
def published(home, files):
    for name in ("triple", "late", "fails"):
        assert run(root, ["module", "publish", f"{files}/people.py:{name}", "--name", f"people/{name}", "--home", str(home)], State()) == 0
    assert (
        run(
            root,
            [
                "dataset",
                "add",
                "people/flights",
                f"{files}/flights.csv",
                "--label",
                "plane=confidential,pii.id",
                "--label",
                "*=public",
                "--home",
                str(home),
            ],
            State(),
        )
        == 0
    )


def test_up_status_whoami_and_down(cli, home):
    out, _ = cli("up", "--json")
    assert out["running"] and out["home"] == str(home)
    found, _ = cli("status", "--json")
    assert found["running"] and found["executors"][0]["name"] == "local"
    assert "local" in cli("status")[0]
    assert cli("whoami", "--json")[0]["user"]
    assert cli("down", "--json")[0] == {"running": False, "stopped": True, "home": str(home)}
    assert cli("status", "--json", code=1)[0] == {"running": False, "home": str(home)}
    assert "not running" in cli("down")[0]
    assert "started in" in cli("up")[0] and "already running" in cli("up")[0]


def test_module_publish_list_show_diff_and_wheel(cli, published, files):
    found, _ = cli("module", "list", "--json")
    assert {"people/triple", "people/late"} <= {m["name"] for m in found["modules"]}
    assert "people/triple" in cli("module", "list", "triple")[0]
    shown, _ = cli("module", "show", "people/triple", "--json")
    assert shown["number"] == 1 and [p["name"] for p in shown["interface"]["inputs"]] == ["x", "extra"] and "bundle" not in shown
    assert "takes: x: int, extra: int = 1" in cli("module", "show", "people/triple@v1")[0]
    (files / "people.py").write_text(SOURCE.replace("x * RATE", "x * RATE + 0"))
    assert cli("module", "publish", f"{files}/people.py:triple", "--name", "people/triple", "--json")[0]["ref"] == "people/triple@v2"
    diff, _ = cli("module", "diff", "people/triple", "v1", "v2", "--json")
    assert diff["units"] and not diff["same_code"]
    assert "+" in cli("module", "diff", "people/triple", "v1", "v2")[0]
    wheel, _ = cli("module", "wheel", "people/triple@v1", "--out", str(files / "out"), "--json")
    assert wheel["wheel"].endswith(".whl") and (files / "out").is_dir()


def test_run_shows_output_and_exits_as_the_run_ended(cli, published):
    out, _ = cli("run", "people/triple@v1", "--set", "x=5")
    assert "tripling" in out and "people/triple v1: ran: first time" in out
    found, _ = cli("run", "people/triple@v1", "--set", "x=5", "--json")
    assert found["state"] == "succeeded" and found["reused"] and found["outputs"] == {"return": "int"}
    again, _ = cli("run", "people/triple@v1", "--set", "x=5", "--no-reuse", "--json")
    assert not again["reused"]
    _, err = cli("run", "people/fails", "--set", "x=1", code=1)
    assert "no such day" in err
    failed, _ = cli("run", "people/fails", "--set", "x=1", "--json", code=1)
    assert failed["state"] == "failed" and failed["failure"]["type"].endswith("ValueError")
    detached, _ = cli("run", "people/triple", "--set", "x=6", "--detach", "--json")
    assert detached["number"] > 0


def test_run_on_a_dataset_and_its_lineage(cli, published):
    found, _ = cli("run", "people/late", "--input", "flights=people/flights", "--json")
    assert found["state"] == "succeeded" and found["edges"] > 0
    assert [w["column"] for w in found["warnings"]] == ["plane"]
    shown, _ = cli("runs", "show", str(found["number"]), "--json")
    assert shown["lineage"]["edges"] and shown["id"] == found["id"]
    assert "plane" in cli("runs", "show", str(found["number"]))[0]


def test_runs_list_logs_clone_rerun_and_cancel(cli, published):
    run_, _ = cli("run", "people/triple@v1", "--set", "x=50", "--json")
    listed, _ = cli("runs", "list", "--module", "people/triple", "--limit", "2", "--json")
    assert listed["runs"][0]["number"] == run_["number"] and len(listed["runs"]) == 2
    assert "people/triple v1" in cli("runs", "list")[0]
    assert cli("runs", "list", "--state", "failed", "--module", "people/triple", "--json")[0]["runs"] == []
    assert cli("runs", "logs", str(run_["number"]))[0] == "tripling\n"
    clone, _ = cli("runs", "clone", str(run_["number"]), "--set", "extra=9", "--json")
    assert clone["cloned_from"] == run_["number"] and not clone["reused"]
    assert cli("runs", "rerun", str(run_["number"]), "--json")[0]["reused"]
    _, err = cli("runs", "cancel", str(run_["number"]), code=1)
    assert "ended" in err


def test_dataset_add_list_show_head_and_lineage(cli, published):
    assert [d["name"] for d in cli("dataset", "list", "--json")[0]["datasets"]] == ["people/flights"]
    assert "people/flights" in cli("dataset", "list")[0]
    out, _ = cli("dataset", "show", "people/flights")
    assert "confidential, pii.id" in out and "delay" in out
    head, _ = cli("dataset", "head", "people/flights", "-n", "2", "--json")
    assert head["rows"] == [["N1", "5"], ["N2", "15"]]
    assert "N1" in cli("dataset", "head", "people/flights")[0]
    cli("run", "people/late", "--input", "flights=people/flights", "--json")
    down, _ = cli("dataset", "lineage", "people/flights", "--column", "plane", "--direction", "down", "--json")
    assert down["edges"]
    assert "lineage of" in cli("dataset", "lineage", "people/flights")[0]


def test_fsck_is_clean_and_names_damage(cli, home, published):
    assert cli("fsck", "--json")[0]["ok"]
    assert cli("fsck")[0] == "clean\n"
    victim = next(p for p in sorted((home / "blobs").glob("*/*")) if p.is_file())
    before = victim.read_bytes()
    try:
        victim.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        found, _ = cli("fsck", "--json", code=1)
        assert not found["ok"] and victim.name in found["findings"][0]["where"]
        assert victim.exists()
    finally:
        victim.write_bytes(before)
    assert run(root, ["fsck", "--home", "/nonexistent/home"], State()) == 1


def test_doctor_looks_at_everything_that_matters(cli):
    found, _ = cli("doctor", "--json")
    names = [check["name"] for check in found["checks"]]
    assert {"python", "packages", "JupyterLab bundle", "ray", "home", "disk", "service"} <= set(names) and found["ok"]
    assert "ok" in cli("doctor")[0]
    assert run(root, ["doctor", "--home", "/proc/nothing"], State()) == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["modul", "list"], "did you mean module"),
        (["module", "lst"], "did you mean list"),
        (["runs", "show"], "Missing argument"),
        (["runs", "list", "--limit", "many"], "many"),
        (["run", "a/b", "--set", "x"], "name=value"),
        (["module", "publish", "x.py:f"], "--name"),
        (["status", "--hom", "x"], "--hom"),
    ],
)
def test_bad_usage_exits_2_with_a_hint(capfd, args, said):
    assert run(root, args, State()) == 2
    out, err = capfd.readouterr()
    assert said in err and "hint: see mlstudio" in err and not out
    assert run(root, [*args, "--json"], State()) == 2
    assert json.loads(capfd.readouterr().out)["error"]["code"] == "bad_input"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["module", "show", "people/tripel"], "people/triple"),
        (["module", "show", "../../x"], "not a name"),
        (["run", "people/triple", "--set", "y=1"], "no input"),
        (["run", "people/late", "--input", "flights=people/flght"], "people/flights"),
        (["dataset", "show", "people/flight"], "people/flights"),
        (["dataset", "add", "people/x", "nowhere.csv"], "no file"),
        (["module", "publish", "nowhere.py:f", "--name", "a/b"], "no file"),
        (["module", "publish", "nowhere", "--name", "a/b"], "FILE.py:FUNCTION"),
        (["runs", "show", "9999"], "no run"),
        (["dataset", "add", "people/x", "."], "is a folder"),
    ],
)
def test_a_refusal_exits_1_with_the_next_step(cli, published, args, said):
    _, err = cli(*args, code=1)
    assert err.startswith("error: ") and said in err
    error = cli(*args, "--json", code=1)[0]["error"]
    assert error["code"] and error["message"]


def test_down_does_not_call_a_service_stopped_that_cannot_be_reached(tmp_path, capfd):
    (tmp_path / "service.lock").write_text("1\n")
    with (tmp_path / "service.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(root, ["down", "--home", str(tmp_path)], State()) == 1
    assert "cannot be reached" in capfd.readouterr().err
    assert run(root, ["down", "--home", str(tmp_path)], State()) == 0


@pytest.mark.parametrize("args", [[], ["runs"], ["module"]])
def test_a_group_alone_shows_its_help(capfd, args):
    assert run(root, args, State()) == 2
    out, err = capfd.readouterr()
    assert err.startswith("Usage: mlstudio") and "error:" not in err and not out
    assert run(root, ["--json", *args], State()) == 2
    assert json.loads(capfd.readouterr().out)["error"]["code"] == "bad_input"


def test_fsck_names_a_ledger_that_is_gone(tmp_path, capfd):
    LocalBlobs(tmp_path / "blobs").put("log/1", [b"hello"])
    assert run(root, ["fsck", "--home", str(tmp_path), "--json"], State()) == 1
    (finding,) = json.loads(capfd.readouterr().out)["findings"]
    assert finding["where"].endswith("ledger.db") and "gone" in finding["what"]
    assert not (tmp_path / "ledger").exists()


def test_options_are_taken_before_and_after_the_command(home, capfd, published):
    for args in (
        ["--json", "--home", str(home), "whoami"],
        ["whoami", "--home", str(home), "--json"],
        ["module", "--json", "list", "--home", str(home)],
    ):
        assert run(root, args, State()) == 0
        assert json.loads(capfd.readouterr().out)


def test_the_program_itself(home):
    done = subprocess.run(
        [sys.executable, "-c", "from mlstudio_lab.front.cli import main; main()", "whoami", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0 and json.loads(done.stdout)["home"] == str(home)
    bad = subprocess.run(
        [sys.executable, "-c", "from mlstudio_lab.front.cli import main; main()", "runs", "show", "9999"], capture_output=True, text=True
    )
    assert bad.returncode == 1 and bad.stderr.startswith("error:") and "Traceback" not in bad.stderr


def test_help_names_every_command_and_costs_little(capfd):
    code = "import sys, time; t = time.perf_counter(); from mlstudio_lab.front.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "bad = {'ray', 'mlflow', 'pandas', 'polars', 'pyarrow', 'pydantic', 'fastapi', 'sqlalchemy', 'IPython', 'papermill'} & set(sys.modules)\nprint('heavy', sorted(bad))"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    for command in ("tour", "lab", "up", "down", "status", "doctor", "fsck", "whoami", "module", "run", "runs", "dataset", "bench"):
        assert f"  {command}" in done.stdout
    assert "heavy []" in done.stdout


def test_lab_tells_its_folder_from_jupyterlab_s_options():
    from mlstudio_lab.front.cli.home import folder_and_options

    assert folder_and_options(()) == (".", [])
    assert folder_and_options(("--no-browser", "--port", "8890")) == (".", ["--no-browser", "--port", "8890"])
    assert folder_and_options(("work", "--no-browser")) == ("work", ["--no-browser"])
