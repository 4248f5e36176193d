"""What only the Ray executor has: a bridge and a head that die and come back, actors that outlive both."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from executor_rig import Rig, Ticket, WallClock

from mlstudio_lab.adapters import processes, ray_head
from mlstudio_lab.adapters.ray_executor import RayExecutor

pytestmark = pytest.mark.ray


def run(rig: Rig, script: str = "") -> Ticket:
    return rig.submit(rig.task(trace={"script": script}))


def gate(rig: Rig, name: str) -> tuple[str, Path]:
    """A script that waits until the test makes a file."""
    path = rig.home / name
    return f"import time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.01)\nsaid = os.getpid()", path


def workers(rig: Rig) -> set[int]:
    return {m["pid"] for m in rig.executor.status()["members"]}


def whole(rig: Rig) -> bool:
    status = rig.executor.status()
    return status["state"] == "ready" and len(status["members"]) == 2


def test_actors_left_by_a_bridge_are_found_again(ray_rig: Rig, ray_runtime: Path) -> None:
    before = workers(ray_rig)
    os.kill(ray_rig.executor.status()["bridge"], signal.SIGKILL)
    ray_rig.until(lambda: ray_rig.executor.status()["state"] == "recovering")
    ray_rig.until(lambda: whole(ray_rig))
    assert workers(ray_rig) == before


def test_a_run_outlives_its_bridge_and_is_heard_to_its_end(ray_rig: Rig) -> None:
    script, path = gate(ray_rig, "go-1")
    ticket = run(ray_rig, "emit({'text': 'first'})\n" + script + "\nemit({'text': 'last'})")
    ticket.said("first")
    os.kill(ray_rig.executor.status()["bridge"], signal.SIGKILL)
    ray_rig.until(lambda: ray_rig.executor.status()["state"] == "recovering")
    path.touch()
    outcome = ticket.outcome()
    assert outcome.effects["said"] == ticket.running()["pid"]
    assert [e["text"] for e in ticket.events if "text" in e] == ["first", "last"]


def test_a_run_queued_while_the_bridge_is_gone_runs_later(ray_rig: Rig) -> None:
    os.kill(ray_rig.executor.status()["bridge"], signal.SIGKILL)
    assert run(ray_rig, "said = 1").outcome().effects["said"] == 1


def test_a_new_service_takes_up_a_run_of_the_old_one(ray_rig: Rig, ray_runtime: Path, tmp_path: Path) -> None:
    def make() -> RayExecutor:
        return RayExecutor(tmp_path, ray_runtime, 1, WallClock(), agent="agents:Scripted")

    old = Rig(tmp_path, make, end="leave")
    script, path = gate(old, "go")
    ticket = run(old, "emit({'text': 'a'})\n" + script)
    pid = ticket.running()["pid"]
    ticket.said("a")  # "running" is told before the call, so that nothing runs unseen; only now the actor has it for sure
    old.close()
    new = Rig(tmp_path, make, end="leave")
    try:
        again = new.tickets[ticket.attempt] = Ticket(ticket.task)
        new.executor.adopt(ticket.attempt, 1, ticket.task.run, again.event, again.end)
        again.said("a")
        path.touch()
        assert again.outcome().effects["said"] == pid
        gone = new.tickets["gone"] = Ticket(new.task(attempt="gone"))
        new.executor.adopt("gone", 1, "run", gone.event, gone.end)
        assert gone.lost() == ("its worker is gone", True)
        finished = new.tickets[ticket.attempt] = Ticket(ticket.task)
        new.executor.adopt(ticket.attempt, 1, ticket.task.run, finished.event, finished.end)
        assert finished.outcome().effects["said"] == pid, "the durable outcome is adopted"
    finally:
        processes.kill(workers(new))
        new.close()


def test_what_is_offered_before_the_start_is_answered(ray_rig: Rig, ray_runtime: Path, tmp_path: Path) -> None:
    """A service takes up what an earlier one left before it starts its executors."""

    async def offer() -> tuple[str, str, bool]:
        executor = RayExecutor(tmp_path, ray_runtime, 1, WallClock(), agent="agents:Scripted")
        heard: asyncio.Future[tuple[str, str, bool]] = asyncio.get_running_loop().create_future()
        executor.lost = lambda attempt, reason, *, infrastructure=False: heard.set_result((attempt, reason, infrastructure))
        executor.adopt("gone", 1, "run", print, print)
        executor.start()
        try:
            return await asyncio.wait_for(heard, 90)
        finally:
            members = [member["pid"] for member in executor.status()["members"]]
            executor.leave()
            processes.kill(members)

    assert asyncio.run(offer()) == ("gone", "its worker is gone", True)


def test_an_idle_actor_that_is_killed_is_replaced(ray_rig: Rig) -> None:
    ray_rig.until(lambda: whole(ray_rig))
    before = workers(ray_rig)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    ray_rig.until(lambda: whole(ray_rig) and victim not in workers(ray_rig))
    assert len(workers(ray_rig) & before) == 1


def test_a_killed_actor_loses_its_run_and_is_replaced(ray_rig: Rig) -> None:
    ray_rig.until(lambda: whole(ray_rig))
    ticket = run(ray_rig, "time.sleep(600)")
    victim = ticket.running()["pid"]
    os.kill(victim, signal.SIGKILL)
    assert ticket.lost(10) == ("its worker process ended while the code ran", False)
    ray_rig.until(lambda: whole(ray_rig) and victim not in workers(ray_rig))


def test_force_ends_the_actor_and_what_it_started(ray_rig: Rig) -> None:
    ray_rig.until(lambda: whole(ray_rig))
    ticket = run(ray_rig, "import subprocess; p = subprocess.Popen(['sleep', '600']); emit({'text': str(p.pid) + '.'}); time.sleep(600)")
    ticket.said(".")
    child = int(next(e["text"] for e in ticket.events if "text" in e)[:-1])
    began = time.monotonic()
    ray_rig.executor.cancel(ticket.attempt, True)
    ticket.lost(3)
    assert time.monotonic() - began < 3
    assert not processes.is_alive(child)


def test_a_cooperative_cancel_reaches_the_agent_while_code_runs(ray_rig: Rig) -> None:
    ray_rig.until(lambda: whole(ray_rig))
    ticket = run(
        ray_rig,
        "import time\nwhile not [f for f in os.listdir(home) if f.startswith('cancel-attempt')]: time.sleep(0.01)\nsaid = 'stopped'",
    )
    ticket.running()
    ray_rig.executor.cancel(ticket.attempt, False)
    assert ticket.outcome(5).effects["said"] == "stopped"


def test_the_person_s_thread_setting_reaches_the_code_and_ray_s_packages_do_not_hide_the_person_s(ray_rig: Rig) -> None:
    script = "said = [os.environ.get('OMP_NUM_THREADS'), [p for p in sys.path if 'thirdparty_files' in p] == sys.path[-1:]]"
    assert run(ray_rig, script).outcome().effects["said"] == [os.environ.get("OMP_NUM_THREADS"), True]


def test_an_empty_call_costs_little_more_than_the_actor_s(ray_rig: Rig) -> None:
    ray_rig.until(lambda: whole(ray_rig))
    times = []
    for _ in range(200):
        began = time.perf_counter()
        run(ray_rig).outcome()
        times.append(time.perf_counter() - began)
    assert sorted(times)[100] < 0.02, "milliseconds, not tens of them; tests/bench has the real figure"


def test_head_is_private_and_found_once(ray_runtime: Path) -> None:
    head = ray_head.find(ray_runtime)
    assert head is not None
    assert head.address.startswith("127.0.0.1:")
    port = int(head.address.split(":")[1])
    assert not 10002 <= port <= 19999
    assert (ray_runtime / "ray.token").stat().st_mode & 0o777 == 0o600
    listening = _listening({p.pid for p in processes.in_session(head.session)})
    assert listening, "the check sees the head's sockets"
    assert {address for address in listening if address not in ("127.0.0.1", "::ffff:127.0.0.1")} == set()
    script = f"import ray; ray.init(address={head.address!r}, log_to_driver=False)"
    bare = {k: v for k, v in ray_head.environment(ray_runtime).items() if not k.startswith("RAY_AUTH")} | {"RAY_NUM_REDIS_GET_RETRIES": "1"}
    refused = subprocess.run([sys.executable, "-c", script], env=bare, capture_output=True, text=True, timeout=120)
    assert refused.returncode != 0
    assert "token" in (refused.stdout + refused.stderr).lower()


def _listening(pids: set[int]) -> set[str]:
    """Local addresses of TCP sockets in state LISTEN that these processes hold."""
    import socket

    if not Path("/proc/net/tcp").exists():
        pytest.skip("reads Linux's /proc")
    inodes: dict[str, str] = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            part = line.split()
            if part[3] == "0A":
                raw = bytes.fromhex(part[1].split(":")[0])
                words = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
                inodes[part[9]] = socket.inet_ntop(socket.AF_INET if name == "tcp" else socket.AF_INET6, words)
    found = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target.startswith("socket:[") and target[8:-1] in inodes:
                found.add(inodes[target[8:-1]])
    return found


@pytest.mark.crash
def test_every_ray_process_killed_comes_back_by_itself_and_down_leaves_nothing(
    ray_runtime: Path, tmp_path: Path, runtime_root: Path
) -> None:
    runtime = runtime_root / "own"
    runtime.mkdir(mode=0o700)
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    try:
        rig = Rig(tmp_path, lambda: RayExecutor(tmp_path, runtime, 1, WallClock(), agent="agents:Scripted"))
        other = ray_head.find(ray_runtime)
        assert run(rig, "said = 1").outcome(90).effects["said"] == 1
        first = ray_head.find(runtime)
        assert first is not None
        assert other is not None
        assert first.address != other.address, "two homes, two heads"
        running = run(rig, "time.sleep(600)")
        running.running()
        queued = run(rig, "said = 2")
        processes.kill(p.pid for p in processes.in_session(first.session))
        assert running.lost(20)[0] == "the Ray head died" or running.losses[0][0] == "its worker process ended while the code ran"
        assert queued.outcome(90).effects["said"] == 2
        second = ray_head.find(runtime)
        assert second is not None
        assert second.session != first.session
        # One essential process is enough.
        os.kill(second.pids[0], signal.SIGKILL)
        rig.until(lambda: rig.executor.status()["state"] == "recovering", 20)
        assert run(rig, "said = 3").outcome(90).effects["said"] == 3
        third = ray_head.find(runtime)
        assert third is not None
        rig.close()
        assert processes.in_session(third.session) == []
        assert ray_head.find(runtime) is None
        assert other.alive, "the other home's head was not touched"
    finally:
        del os.environ["PYTHONPATH"]
        ray_head.stop(runtime)


@pytest.mark.crash
def test_down_while_the_head_still_starts_leaves_nothing(runtime_root: Path) -> None:
    runtime = runtime_root / "half"
    runtime.mkdir(mode=0o700)
    command = [sys.executable, "-m", "mlstudio_lab.adapters.ray_head", str(runtime)]
    quiet = subprocess.DEVNULL
    launcher = subprocess.Popen(command, env=ray_head.environment(runtime), start_new_session=True, stdout=quiet, stderr=quiet)
    end = time.monotonic() + 60
    while time.monotonic() < end and not any(p.name == "gcs_server" for p in processes.in_session(launcher.pid)):
        launcher.poll()
    ray_head.stop(runtime)
    launcher.wait(30)
    assert processes.in_session(launcher.pid) == []
    assert ray_head.find(runtime) is None
