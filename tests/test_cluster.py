"""Worker processes: two at once, killed, replaced, refused, interrupted; and none is left behind."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import distributed
import numpy as np
import pytest
import tensorflow as tf

from tuner import launch
from tuner.cluster import DaskCrew
from tuner.data import DataSpec
from tuner.errors import DataError, TunerError, UsageError
from tuner.launch import connected_crew, local_crew
from tuner.member import Member
from tuner.messages import Session, Task
from tuner.records import COMPLETED, RUNNING

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("digits"),
    # Dask ends its processes and threads in its own time; their sockets are closed with them.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).parents[1]
SESSION = Session(data=DataSpec("digits"), space="tiny", max_epochs=3, batch_size=64, cores=1)
VALUES = {"stages": 1, "blocks_1": 1, "width": 4, "se_ratio": 4, "learning_rate": 0.05}
TASK = Task(hyperparameters=VALUES, initial_epoch=0, epochs=2, seed=1)
DEADLINE_SECONDS = 60


def _next(crew):
    """The next event; they come in seconds or never."""
    event = crew.next(DEADLINE_SECONDS)
    assert event is not None
    return event


def _until(happened, crew=None, seconds=DEADLINE_SECONDS):
    """Waits until something is so; the crew sees meanwhile what happens to its workers."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it has not happened in time"
        if crew is None:
            time.sleep(0.02)
        else:
            assert crew.next(0.1) is None


def _process_of(crew, worker):
    """The process id of a worker."""
    (address,) = [address for address, member in crew._members.items() if member.name == worker]
    return crew._client.run(os.getpid, workers=[address])[address]


def _children(pid):
    """The processes of a session, by number: its leader, and all that that started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has gone
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found[int(folder.name)] = int(fields[1])
    return found


class TestLocalCrew:
    """Two processes, started once for tests that leave them as they found them."""

    @pytest.fixture(scope="class")
    @classmethod
    def crew(cls, digits):
        with local_crew(SESSION, workers=2) as crew:
            crew.wait()
            yield crew

    def test_both_train_at_once(self, crew):
        assert (crew.size, crew.free()) == (2, ["0", "1"])
        assert (crew.facts.train, crew.facts.classes) == (1151, 10)
        crew.begin("1", 8, TASK)
        crew.begin("0", 7, TASK)
        assert crew.free() == []
        first, second = _next(crew), _next(crew)  # both have told before either goes on
        assert {(e.trial, e.worker, e.progress.status) for e in (first, second)} == {
            (7, "0", RUNNING),
            (8, "1", RUNNING),
        }
        assert first.progress.curve == second.progress.curve  # it follows from the task alone
        crew.advance(8)
        crew.stop(7)
        ends = {e.trial: e.progress for e in (_next(crew), _next(crew))}
        assert {end.status for end in ends.values()} == {COMPLETED}
        assert (ends[7].curve, ends[8].curve["epoch"]) == ({}, [2])
        assert crew.free() == ["0", "1"]

    def test_measures_all_or_some(self, crew):
        assert len(crew.measure(VALUES)) == 2
        (alone,) = crew.measure(VALUES, together=1)
        assert alone.images_per_second > 0

    def test_worker_that_dies_while_it_is_asked_is_asked_again(self, crew):
        """Until then a search waited half a minute, and ended."""
        os.kill(_process_of(crew, "1"), signal.SIGKILL)  # nobody has seen it yet
        assert [measured.images_per_second > 0 for measured in crew.measure(VALUES)] == [True, True]
        facts = crew.facts
        os.kill(_process_of(crew, "0"), signal.SIGKILL)
        assert crew.facts == facts

    def test_worker_that_dies_while_the_driver_is_busy_is_told(self, crew):
        """Dask knows it before the crew has heard of it; until then that ended the search."""
        crew.begin("1", 5, TASK)
        assert _next(crew).progress.status == RUNNING
        (address,) = [address for address, member in crew._members.items() if member.name == "1"]
        os.kill(_process_of(crew, "1"), signal.SIGKILL)
        _until(lambda: address not in crew._client.scheduler_info(n_workers=-1)["workers"])
        crew.advance(5)
        event = _next(crew)
        assert (event.trial, event.progress) == (5, None)
        _until(lambda: crew.free() == ["0", "1"], crew)

    def test_killed_worker_is_told_and_comes_back(self, crew):
        crew.begin("0", 7, dataclasses.replace(TASK, epochs=100))
        crew.begin("1", 8, TASK)
        _next(crew), _next(crew)
        before = _process_of(crew, "0")
        crew.advance(7)
        os.kill(before, signal.SIGKILL)
        event = _next(crew)
        if event.progress:  # the epoch was told before
            event = _next(crew)
        assert (event.trial, event.worker, event.progress) == (7, "0", None)
        _until(lambda: crew.free() == ["0"], crew)
        assert _process_of(crew, "0") != before
        crew.begin("0", 9, dataclasses.replace(TASK, epochs=1))
        assert _next(crew).progress.status == COMPLETED
        crew.advance(8)  # the other has not heard of it
        assert _next(crew).progress.status == COMPLETED

    def test_replaced_worker_tells_nothing_more_of_its_trial(self, crew):
        before = _process_of(crew, "1")
        crew.begin("1", 7, dataclasses.replace(TASK, epochs=1000))
        crew.replace("1")
        _until(lambda: crew.free() == ["0", "1"], crew)
        assert _process_of(crew, "1") != before

    def test_worker_that_dask_forgets_meanwhile_comes_back(self, monkeypatch):
        """It looks once, some seconds later, whether there is another; until then it was gone for good."""
        monkeypatch.setitem(launch._FRUGAL, "distributed.deploy.lost-worker-timeout", "10ms")
        with local_crew(SESSION, workers=1) as crew:
            for _ in range(2):
                before = _process_of(crew, "0")
                crew.replace("0")
                _until(lambda: crew.free() == ["0"], crew)
                assert _process_of(crew, "0") != before

    @pytest.mark.parametrize("error", [distributed.comm.CommClosedError("closing"), ValueError("no such worker")])
    def test_replacement_that_comes_too_late_says_nothing(self, error, crew, monkeypatch):
        def restart(addresses, *, raise_for_error):
            raise error

        monkeypatch.setattr(crew._client, "restart_workers", restart)
        assert crew._restart("tls://127.0.0.1:1") is None

    def test_without_workers_it_ends_with_where_they_should_be(self, crew, monkeypatch):
        monkeypatch.setattr(crew, "_last_seen", time.monotonic() - 121)
        monkeypatch.setattr(crew, "_members", {})
        monkeypatch.setattr(crew, "_look", lambda: None)  # it would find them again
        with pytest.raises(TunerError, match=r"no worker at tls://127\.0\.0\.1:\d+ for 120 s"):
            crew._check_alive()
        crew._happened.put("add-worker", "tls://127.0.0.1:1")
        assert crew.next(0.1) is None  # somebody was there just now
        crew._check_alive()
        monkeypatch.setattr(crew, "_last_seen", time.monotonic() - 121)
        monkeypatch.setattr(crew._client, "status", "connecting")
        with pytest.raises(TunerError, match=r"no answer from the Dask scheduler at tls://127"):
            crew._check_alive()

    def test_listens_on_this_machine_only_over_tls_and_serves_no_page(self, crew):
        scheduler = crew._client.cluster.scheduler
        workers = crew._client.scheduler_info(n_workers=-1)["workers"]
        addresses = [scheduler.address, *workers, *(facts["nanny"] for facts in workers.values())]
        assert len(addresses) == 5
        assert {re.sub(r"\d+$", "", address) for address in addresses} == {"tls://127.0.0.1:"}
        assert scheduler.http_server.address == "127.0.0.1"
        pages = [scheduler.http_server.port, *(facts["services"]["dashboard"] for facts in workers.values())]
        for port in pages:
            for page in ("", "status", "info/main/workers.html", "metrics", "health", "json/counts.json"):
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10)
        ours = {_inode(link) for pid in [os.getpid(), *crew._client.run(os.getpid).values()] for link in _sockets(pid)}
        listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        places = {fields[1].partition(":")[0] for fields in listening if fields[3] == "0A" and fields[9] in ours}
        assert places == {"0100007F"}  # 127.0.0.1


def _sockets(pid):
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:"):
            yield target


def _inode(link):
    return link.partition("[")[2].rstrip("]")


def test_worker_that_grew_too_large_is_replaced_between_trials():
    with local_crew(dataclasses.replace(SESSION, memory=1), workers=1) as crew:
        crew.wait()
        before = _process_of(crew, "0")
        crew.begin("0", 1, TASK)
        assert _next(crew).progress.status == RUNNING
        assert _process_of(crew, "0") == before  # never in the middle of one
        crew.advance(1)
        event = _next(crew)
        assert (event.progress.status, event.replaced) == (COMPLETED, True)
        _until(lambda: crew.free() == ["0"], crew)
        assert _process_of(crew, "0") != before


def test_crew_that_is_kept_small_trains_on_and_leaves_no_process():
    with local_crew(SESSION, workers=2) as crew:
        crew.wait()
        processes = [_process_of(crew, "0"), _process_of(crew, "1")]
        crew.keep(1)
        _until(lambda: not Path(f"/proc/{processes[1]}").exists())
        assert (crew.size, crew.free()) == (1, ["0"])
        crew.begin("0", 1, dataclasses.replace(TASK, epochs=1))
        assert _next(crew).progress.status == COMPLETED
    _until(lambda: not Path(f"/proc/{processes[0]}").exists(), seconds=10)


def test_second_interrupt_does_not_break_off_the_end_of_the_workers(monkeypatch):
    """What is left of a closing cluster would be waited for, for ten seconds."""
    ended, close = [], distributed.LocalCluster.close

    def interrupted(cluster):
        signal.raise_signal(signal.SIGINT)
        close(cluster)
        ended.append(cluster.status)

    monkeypatch.setattr(distributed.LocalCluster, "close", interrupted)
    with pytest.raises(KeyboardInterrupt), local_crew(SESSION, workers=1) as crew:
        crew.wait()
    assert ended == [distributed.Status.closed]


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupt_while_workers_start_ends_them_and_a_second_one_does_not_wait(presses, monkeypatch):
    closed, may_start = [], threading.Event()

    class Starting(contextlib.AbstractContextManager):
        def __init__(self, **_):
            for _ in range(presses):
                time.sleep(0.2)  # the driver waits then
                os.kill(os.getpid(), signal.SIGINT)
            assert presses == 1 or may_start.wait(DEADLINE_SECONDS)

        def __exit__(self, *_):
            closed.append(self)

    monkeypatch.setattr(distributed, "LocalCluster", Starting)
    monkeypatch.setattr(launch, "import_tensorflow", lambda: None)
    with pytest.raises(KeyboardInterrupt), local_crew(SESSION, workers=1):
        pass
    assert len(closed) == 2 - presses
    may_start.set()


def test_missing_data_set_is_the_error_that_it_is():
    session = dataclasses.replace(SESSION, data=DataSpec("folder:/nowhere/photos", (8, 8)))
    with local_crew(session, workers=2) as crew, pytest.raises(DataError, match="/nowhere/photos"):
        crew.wait()


def test_workers_that_die_in_their_start_end_the_search(tmp_path):
    space = tmp_path / "deadly.py"
    space.write_text("import os\nos.kill(os.getpid(), 9)\n")
    session, message = dataclasses.replace(SESSION, space=str(space)), "Worker processes die while they start, 3 until"
    with local_crew(session, workers=1) as crew, pytest.raises(TunerError, match=message) as error:
        crew.wait()
    assert "\n" not in str(error.value)


def test_worker_that_dies_whenever_it_is_measured_ends_the_search(monkeypatch):
    with local_crew(SESSION, workers=1) as crew:
        crew.wait()
        monkeypatch.setattr(crew, "_call", lambda *_, **__: os.kill(_process_of(crew, "0"), signal.SIGKILL))
        with pytest.raises(TunerError, match="Worker processes die while they are measured, 3 until now; most often"):
            crew.measure(VALUES)


def test_worker_that_dask_has_given_up_comes_back_unless_it_dies_each_time():
    """As it does where a process dies that has just taken the place of another."""
    with local_crew(SESSION, workers=1) as crew:
        crew.wait()
        before, cluster = _process_of(crew, "0"), crew._client.cluster
        cluster.sync(cluster.workers[0].close)
        _until(lambda: crew.free() == [], crew)
        _until(lambda: crew.free() == ["0"], crew)
        assert _process_of(crew, "0") != before
        cluster.worker_spec[0]["options"]["preload"] = ["import os; os._exit(1)"]
        cluster.sync(cluster.workers[0].close)
        _until(lambda: crew.free() == [], crew)
        with pytest.raises(TunerError, match="Worker processes die while they start, 3 until now"):
            crew.wait()


def test_what_is_no_scheduler_and_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(launch, "SECONDS_TO_CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        told = f"No Dask scheduler answers at {address}: what listens there does not speak Dask's protocol; give what"
        with pytest.raises(TunerError, match=re.escape(told)), connected_crew(SESSION, address=address):
            pass


def test_worker_that_leaves_a_cluster_is_not_waited_for():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster.scheduler_address) as client,
    ):
        crew = DaskCrew(client, SESSION, expected=2)
        crew.wait()
        cluster.sync(cluster.workers[0].close)
        _until(lambda: len(crew._members) == 1, crew)
        crew.wait()
        assert (crew.size, len(crew.free())) == (1, 1)


def test_worker_that_dies_whenever_it_joins_a_cluster_does_not_end_the_search_of_others(monkeypatch):
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster.scheduler_address) as client,
    ):
        crew = DaskCrew(client, SESSION, expected=1)
        crew.wait()

        def join_and_die():
            crew._members["elsewhere"] = Member("bad", cores=1)
            crew._happened.put("remove-worker", "elsewhere")
            _until(lambda: "elsewhere" not in crew._members, crew)

        for _ in range(9):
            join_and_die()
        assert len(crew.free()) == 1
        monkeypatch.setattr(crew, "_look", lambda: None)
        crew._members.clear()
        join_and_die()
        join_and_die()
        with pytest.raises(TunerError, match="Workers of the cluster die while they start"):
            join_and_die()


def test_worker_that_dies_before_dask_knows_it_ends_the_search(monkeypatch):
    def start(**_):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", start)
    with (
        pytest.raises(TunerError, match="Worker processes die while they start; most often"),
        local_crew(SESSION, workers=1),
    ):
        pass


def test_file_that_a_worker_cannot_read_is_no_dead_worker():
    """Until then a search waited two minutes, and told of workers that do not come."""
    with local_crew(SESSION, workers=1) as crew:
        crew.wait()
        (member,) = crew._members.values()
        crew._members["elsewhere"] = dataclasses.replace(member, name="1", actor=None)
        crew._happened.put("raised", "elsewhere", PermissionError("no"))
        with pytest.raises(PermissionError, match="no"):
            crew.next(DEADLINE_SECONDS)


def test_oracle_that_needs_scikit_learn_finds_it(tmp_path):
    """Other drivers do without: it takes long to import."""
    flags = ["--space", "tiny", "--algorithm", "bayesian", "--workers", "1", "--trials", "2", "--max-epochs", "1"]
    command = [sys.executable, "-m", "tuner.search", *flags, "--results-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Stopped   the 2 trials are made"), done.stderr


class TestDriver:
    """`python -m tuner.search --workers 2`, and what becomes of its processes."""

    @pytest.fixture
    def start(self, tmp_path):
        """Starts a search as the leader of a session, and returns it with the file of its stderr."""
        drivers = []

        def start(flags="--algorithm hyperband --max-epochs 3"):
            file = tmp_path / "stderr"
            command = [sys.executable, "-m", "tuner.search", "--space", "tiny", "--workers", "2", *flags.split()]
            command += ["--study", "mine", "--results-dir", str(tmp_path)]
            environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
            with file.open("w") as stderr:
                drivers.append(
                    subprocess.Popen(
                        command,
                        cwd=ROOT,
                        stdout=subprocess.DEVNULL,
                        stderr=stderr,
                        env=environment,
                        start_new_session=True,
                    )
                )
            return drivers[-1], file

        yield start
        for driver in drivers:
            driver.kill()
            driver.wait()
            for process in _children(driver.pid):
                os.kill(process, signal.SIGKILL)

    def test_killed_driver_takes_its_processes_along(self, start):
        driver, told = start()
        _until(lambda: "trial 1/" in told.read_text())
        assert len(_children(driver.pid)) >= 4  # the driver, what forks, and two workers
        driver.kill()
        driver.wait()
        _until(lambda: not _children(driver.pid), seconds=5)

    @pytest.mark.parametrize("moment", ["forking", "workers", "first trial", "last trial"])
    def test_ctrl_c_ends_all_with_one_message(self, start, moment):
        # Of three trials that take long, the last one begins when one of the others ends, and both end at once.
        driver, told = start("--algorithm random --trials 3 --max-epochs 60") if moment == "last trial" else start()
        moments = {
            "forking": lambda: len(_children(driver.pid)) >= 2,
            "workers": lambda: len(_children(driver.pid)) >= 5,
            "first trial": lambda: "trial " in told.read_text(),
            "last trial": lambda: told.read_text().count("\ntrial ") >= 1,
        }
        _until(moments[moment])
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(DEADLINE_SECONDS) == 130
        _until(lambda: not _children(driver.pid))  # the one that imports TensorFlow sees it afterwards
        lines = [line for line in told.read_text().splitlines() if not line.startswith("trial ")]
        assert len(lines) == 1
        assert lines[0].startswith("Interrupted. To go on: python -m tuner.search --study mine --results-dir ")


def _free_port():
    """Returns one below those that Linux gives away: who looks for a server that has gone could connect to itself."""
    for port in range(21000, 32000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


class TestConnectedCrew:
    """A Dask cluster of other processes, as on several machines: `dask scheduler` and `dask worker`."""

    @pytest.fixture
    def start(self):
        """Starts a process of Dask; all end with the test."""
        processes = []

        def start(*arguments, cwd=ROOT):
            command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
            process = subprocess.Popen(
                command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            processes.append(process)
            return process

        yield start
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # the test has
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @pytest.fixture
    def scheduler(self, start, tmp_path):
        file = tmp_path / "scheduler.json"
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        _until(lambda: file.exists() and file.read_text().endswith("\n}"))  # Dask creates it, then writes
        return json.loads(file.read_text())["address"]

    def _add(self, start, scheduler, name, *more, cwd=ROOT):
        options = ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--memory-limit", "0", "--name", name]
        return start("dask_worker", scheduler, *options, *more, cwd=cwd)

    def test_workers_are_used_also_one_that_joins_later_and_one_that_leaves(self, start, scheduler):
        with pytest.raises(TunerError, match=f"The Dask cluster at {scheduler} has no worker") as error:
            self._connect(scheduler)
        assert error.value.exit_status == 1
        self._add(start, scheduler, "first")
        _until(lambda: self._has_workers(scheduler, 1))
        with connected_crew(SESSION, address=scheduler) as crew:
            assert (crew.facts.train, crew.free()) == (1151, ["first"])
            second = self._add(start, scheduler, "second")
            _until(lambda: crew.free() == ["first", "second"], crew)
            assert crew.size == 2
            crew.begin("second", 4, TASK)
            assert _next(crew).worker == "second"
            os.killpg(second.pid, signal.SIGKILL)
            assert _next(crew).progress is None
            assert crew.free() == ["first"]
        # The next search finds the workers as the last one left them, whatever its session.
        session = dataclasses.replace(SESSION, batch_size=32, cores=None)
        with connected_crew(session, address=scheduler) as crew:
            crew.wait()
            crew.begin("first", 1, dataclasses.replace(TASK, epochs=1))
            assert _next(crew).progress.status == COMPLETED

    def test_workers_of_a_scheduler_that_was_started_again_are_found(self, start):
        """Also where that takes longer than a search waits for one when it begins."""
        port = _free_port()
        scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", f"{port}", "--no-dashboard"]
        address = f"tcp://127.0.0.1:{port}"
        first = start(*scheduler)
        worker = self._add(start, address, "first")
        _until(lambda: self._has_workers(address, 1))
        with connected_crew(SESSION, address=address) as crew:
            crew.wait()
            crew.begin("first", 7, TASK)
            assert _next(crew).progress.status == RUNNING
            for process in (worker, first):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            time.sleep(launch.SECONDS_TO_CONNECT + 1)
            start(*scheduler)
            self._add(start, address, "second")
            crew.advance(7)
            assert _next(crew).progress is None
            _until(lambda: crew.free() == ["second"], crew)
            crew.begin("second", 7, dataclasses.replace(TASK, epochs=1))
            assert _next(crew).progress.status == COMPLETED

    def test_fixed_number_of_workers_stays_what_it_is(self, start, scheduler):
        """Else the order of decisions would change with those who come and go."""
        first = self._add(start, scheduler, "first")
        _until(lambda: self._has_workers(scheduler, 1))
        with (
            pytest.raises(TunerError, match=r"has 1 worker, but the fixed order .* is that of 2 \(--deterministic\)"),
            connected_crew(SESSION, address=scheduler, workers=2, is_fixed=True),
        ):
            pass
        with connected_crew(SESSION, address=scheduler, workers=1, is_fixed=True) as crew:
            crew.wait()
            self._add(start, scheduler, "second")
            _until(lambda: self._has_workers(scheduler, 2), crew)
            assert (crew.size, crew.free()) == (1, ["first"])
            os.killpg(first.pid, signal.SIGKILL)
            _until(lambda: crew.free() == ["second"], crew)
            assert crew.size == 1

    def test_worker_without_the_program_is_told(self, start, scheduler, tmp_path, monkeypatch):
        """Until then the search waited for two minutes, and said that there was none."""
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['tuner'] = None\n")
        self._add(start, scheduler, "bare", cwd=tmp_path)
        _until(lambda: self._has_workers(scheduler, 1))
        with (
            connected_crew(SESSION, address=scheduler) as crew,
            pytest.raises(TunerError, match="Worker bare of the cluster cannot train: it cannot import tuner; install"),
        ):
            crew.wait()

    def test_worker_with_other_libraries_is_told(self, start, scheduler, monkeypatch):
        self._add(start, scheduler, "old")
        _until(lambda: self._has_workers(scheduler, 1))
        monkeypatch.setattr(importlib.metadata, "version", lambda library: "1.0")  # of this process
        with (
            connected_crew(SESSION, address=scheduler) as crew,
            pytest.raises(
                TunerError, match=r"Worker old .*: it has TensorFlow .* and this machine TensorFlow 1.0 with"
            ),
        ):
            crew.wait()

    def test_worker_with_another_version_of_the_program_is_told(self, start, scheduler, monkeypatch):
        self._add(start, scheduler, "old")
        _until(lambda: self._has_workers(scheduler, 1))
        monkeypatch.setattr("tuner.__version__", "99.0")  # of this process
        told = r"Worker old .*: it has TensorFlow .* and se-tuner .* and this machine .* and se-tuner 99\.0; scores"
        with connected_crew(SESSION, address=scheduler) as crew, pytest.raises(TunerError, match=told):
            crew.wait()

    def test_worker_that_dask_has_paused_is_told(self, start, scheduler):
        """Until then the search waited for ever, without a line."""
        self._add(start, scheduler, "full")
        _until(lambda: self._has_workers(scheduler, 1))

        def pause(dask_worker):
            dask_worker.status = distributed.Status.paused

        with distributed.Client(scheduler) as client:
            client.run(pause)
            _until(lambda: {w["status"] for w in client.scheduler_info()["workers"].values()} == {"paused"})
        with (
            connected_crew(SESSION, address=scheduler) as crew,
            pytest.raises(
                TunerError, match="Worker full of the cluster cannot train: Dask has paused it, as its memory"
            ),
        ):
            crew.wait()

    def test_worker_has_the_threads_of_each_search_in_turn(self, start, scheduler):
        """Until then it kept those of its first search, on which the last bits of scores depend."""
        self._add(start, scheduler, "first")
        _until(lambda: self._has_workers(scheduler, 1))
        for threads in (1, 3):
            with connected_crew(dataclasses.replace(SESSION, threads=threads), address=scheduler) as crew:
                crew.wait()
                assert list(crew._client.run(tf.config.threading.get_intra_op_parallelism_threads).values()) == [
                    threads
                ]
                crew.begin("first", 1, dataclasses.replace(TASK, epochs=1))
                assert _next(crew).progress.status == COMPLETED

    def test_worker_whose_threads_another_search_needs_is_told(self, start, scheduler):
        self._add(start, scheduler, "first")
        _until(lambda: self._has_workers(scheduler, 1))
        with connected_crew(dataclasses.replace(SESSION, threads=1), address=scheduler) as crew:
            crew.wait()
            told = (
                r"first .*: TensorFlow has run there with 1 thread an operation, .* this search wants 3; start it anew"
            )
            with (
                connected_crew(dataclasses.replace(SESSION, threads=3), address=scheduler) as other,
                pytest.raises(TunerError, match=told),
            ):
                other.wait()
            crew.begin("first", 1, dataclasses.replace(TASK, epochs=1))
            assert _next(crew).progress.status == COMPLETED

    @pytest.fixture
    def machines(self, tmp_path, monkeypatch):
        """Three folders as of three machines: one with images, one with others, one without."""
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        for machine, shade in (("first", 0), ("other", 90)):
            for label in ("cat", "dog"):
                folder = tmp_path / machine / "photos" / "train" / label
                folder.mkdir(parents=True)
                for number in range(4):
                    values = np.full((8, 8, 3), shade + 10 * number, np.uint8)
                    (folder / f"{number}.png").write_bytes(tf.io.encode_png(values).numpy())
        (tmp_path / "none").mkdir()
        return tmp_path

    def test_worker_that_joins_without_the_data_is_left_out(self, start, scheduler, machines):
        """Until then it ended the search of all others, or trained on its own images."""
        self._add(start, scheduler, "first", cwd=machines / "first")
        _until(lambda: self._has_workers(scheduler, 1))
        session = dataclasses.replace(SESSION, data=DataSpec("folder:photos"))
        with connected_crew(session, address=scheduler) as crew:
            assert crew.facts.train == 6
            assert crew.refusals() == []
            for name, reason in (
                ("none", "photos is not a folder"),
                ("other", "The images are not those of the other workers: "),
            ):
                self._add(start, scheduler, name, cwd=machines / name)
                told = []
                _until(lambda told=told: told.extend(crew.refusals()) or told, crew)
                assert len(told) == 1
                assert told[0].startswith(f"Worker {name} of the cluster cannot train: {reason}")
                assert crew.free() == ["first"]
            crew.begin("first", 1, dataclasses.replace(TASK, epochs=1))
            assert _next(crew).progress.status == COMPLETED
        with (
            connected_crew(session, address=scheduler) as crew,
            pytest.raises(UsageError, match=r"Worker (none|other) of the cluster cannot train: "),
        ):
            crew.wait()

    def test_worker_that_nobody_can_start_again_serves_on(self, start, scheduler):
        self._add(start, scheduler, "alone", "--no-nanny")
        _until(lambda: self._has_workers(scheduler, 1))
        with connected_crew(SESSION, address=scheduler) as crew:
            crew.wait()
            crew.replace("alone")
            _until(lambda: crew.free() == ["alone"], crew)
            crew.begin("alone", 1, dataclasses.replace(TASK, epochs=1))
            assert _next(crew).progress.status == COMPLETED

    def test_worker_that_hangs_and_that_nobody_can_start_again_is_left_out(self, start, scheduler):
        """Until then the search waited for it for ever."""
        self._add(start, scheduler, "alone", "--no-nanny")
        _until(lambda: self._has_workers(scheduler, 1))
        with connected_crew(SESSION, address=scheduler) as crew:
            crew.wait()
            crew.begin("alone", 1, TASK)
            crew.replace("alone")
            told = []
            _until(lambda: told.extend(crew.refusals()) or told, crew)
            assert re.fullmatch(r"The worker at tcp://127\.0\.0\.1:\d+ hangs, and has no nanny that .*", told[0])
            assert crew.next(3.0) is None
            assert (crew.free(), crew._members) == ([], {})

    def _connect(self, scheduler):
        with connected_crew(SESSION, address=scheduler):
            pass

    def _has_workers(self, scheduler, number):
        import distributed

        with distributed.Client(scheduler) as client:
            return len(client.scheduler_info(n_workers=-1)["workers"]) == number

    @pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense://127.0.0.1:9", "tls://127.0.0.1:9"])
    def test_no_scheduler_is_one_sentence(self, address):
        with pytest.raises(TunerError) as error:
            self._connect(address)
        assert re.fullmatch(rf"No Dask scheduler answers at {address}: [^\n]+", str(error.value))
        assert ("name those of the cluster in Dask's configuration" in str(error.value)) == address.startswith("tls")
