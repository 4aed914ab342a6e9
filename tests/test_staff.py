"""How many workers a search has: as many as were asked for, as the machine has room for, as are worth it."""

import contextlib
import dataclasses

import pytest

from tuner import launch, staff
from tuner.data import DataSpec
from tuner.errors import UsageError
from tuner.messages import Measurement, Session
from tuner.staff import MEMORY_SHARE, WORKER_BYTES, WORTHWHILE, Staffing, open_crew, settle

SESSION = Session(data=DataSpec("digits"), space="tiny", max_epochs=3, batch_size=64)
PLENTY = 10**13


class FakeCrew:
    """Workers that train as fast as they are told to.

    Args:
        rates: Images a second of all workers together, by how many train at once.
    """

    def __init__(self, rates):
        self.rates = rates
        self.kept = max(rates)
        self.asked = []

    def measure(self, hyperparameters, *, together=None):
        workers = together or self.kept
        self.asked.append(workers)
        rate = self.rates[workers] / workers
        # The later ones compile while the first train, and the last is the slowest.
        return [
            Measurement(start_seconds=2.0 + place, epoch_seconds=10.0 + place, images_per_second=rate)
            for place in range(workers)
        ]

    def keep(self, workers):
        self.kept = workers


@pytest.fixture
def machine(monkeypatch):
    """A machine to be described; returns what the crew on it is started with."""

    def machine(*, cores=8, memory=PLENTY, gpus=0):
        monkeypatch.setattr(staff, "available_cores", lambda: cores)
        monkeypatch.setattr(staff, "available_memory", lambda: memory)
        monkeypatch.setattr(staff, "num_gpus", lambda: gpus)
        started = {}

        @contextlib.contextmanager
        def crew(session, **options):
            started.update(options, cores=session.cores, memory=session.memory, threads=session.threads)
            yield "crew"

        monkeypatch.setattr(launch, "local_crew", crew)
        monkeypatch.setattr(launch, "connected_crew", crew)
        return started

    return machine


def _open(staffing):
    with open_crew(staffing, SESSION) as crew:
        assert crew == "crew"


class TestOpenCrew:
    """How many processes are started, and what each may use."""

    @pytest.mark.parametrize(("cores", "workers", "each"), [(8, 2, 4), (8, 3, 2), (2, 8, 1), (1, 1, 1)])
    def test_workers_that_were_asked_for_share_the_cores(self, machine, cores, workers, each):
        started = machine(cores=cores)
        _open(Staffing(workers=workers))
        assert (started["workers"], started["cores"], started["gpus_per_trial"]) == (workers, each, None)

    def test_as_many_as_cores_where_nothing_was_asked_for(self, machine):
        started = machine(cores=6)
        _open(Staffing())
        assert (started["workers"], started["cores"]) == (6, 1)

    @pytest.mark.parametrize(("room_for", "workers"), [(0, 1), (0.9, 1), (3.1, 3), (100, 8)])
    def test_memory_caps_how_many_are_tried(self, machine, room_for, workers):
        started = machine(cores=8, memory=int(room_for * WORKER_BYTES / MEMORY_SHARE))
        _open(Staffing())
        assert (started["workers"], started["cores"]) == (workers, 8 // workers)

    def test_memory_does_not_cap_what_was_asked_for(self, machine):
        started = machine(memory=WORKER_BYTES)
        _open(Staffing(workers=4))
        assert started["workers"] == 4

    @pytest.mark.parametrize(
        ("asked", "available", "limit"), [(None, 10_000, 2_000), (123, 10_000, 123), (123, 0, 123), (None, 0, None)]
    )
    def test_each_has_its_share_of_the_memory(self, machine, asked, available, limit):
        started = machine(memory=available)
        _open(Staffing(workers=4, worker_memory=asked))
        assert started["memory"] == limit  # 0 available means unknown

    @pytest.mark.parametrize(("share", "workers"), [(None, 2), (1.0, 2), (0.5, 4), (0.3, 6), (2.0, 1)])
    def test_gpus_are_divided_into_shares(self, machine, share, workers):
        started = machine(cores=16, gpus=2)
        _open(Staffing(gpus_per_trial=share))
        assert (started["workers"], started["gpus_per_trial"]) == (workers, share or 1.0)

    @pytest.mark.parametrize(
        ("staffing", "threads"),
        [
            (Staffing(), None),  # the size of the images decides
            (Staffing(workers=2, threads=3), 3),
            (Staffing(cluster="tcp://host:8786"), 1),
            (Staffing(cluster="tcp://host:8786", threads=4), 4),
        ],
    )
    def test_threads_of_an_operation_are_the_same_on_all_machines(self, machine, staffing, threads):
        started = machine()
        _open(staffing)
        assert started["threads"] == threads

    def test_share_of_no_gpu_is_one_sentence(self, machine):
        started = machine(gpus=0)
        with pytest.raises(
            UsageError, match=r"^--gpus-per-trial is 0\.5, but this machine has no GPU; leave it out\.$"
        ):
            _open(Staffing(gpus_per_trial=0.5))
        assert started == {}

    def test_far_more_workers_than_cores_are_one_sentence(self, machine):
        started = machine(cores=2)
        with pytest.raises(
            UsageError, match=r"^--workers is 33, and this machine has 2 cores; give 2, or leave it out\.$"
        ):
            _open(Staffing(workers=33))
        assert started == {}
        with pytest.raises(UsageError, match=r"^--threads is 33, and this machine has 2 cores; give 2, or leave"):
            _open(Staffing(threads=33))
        assert started == {}
        _open(Staffing(workers=32))
        assert started["workers"] == 32

    def test_more_gpus_than_there_are_is_one_sentence(self, machine):
        machine(gpus=2)
        for workers in (None, 0):
            with pytest.raises(
                UsageError, match=r"^--gpus-per-trial is 4, but this machine has 2; give at most that\.$"
            ):
                _open(Staffing(gpus_per_trial=4.0, workers=workers))

    @pytest.mark.parametrize(("gpus", "workers", "share"), [(8, 4, 2.0), (2, 1, 2.0), (1, 1, 1.0)])
    def test_study_of_several_gpus_a_trial_gets_them_where_they_are(self, machine, gpus, workers, share):
        started = machine(cores=16, gpus=gpus)
        with open_crew(Staffing(), dataclasses.replace(SESSION, replicas=2)):
            assert (started["workers"], started["gpus_per_trial"]) == (workers, share)

    def test_machines_of_a_cluster_are_not_this_one(self, machine):
        started = machine(cores=2, memory=1, gpus=0)
        _open(Staffing(cluster="tcp://host:8786", gpus_per_trial=0.5))
        assert started == {
            "address": "tcp://host:8786",
            "gpus_per_trial": 0.5,
            "workers": None,
            "is_fixed": False,
            "cores": None,
            "memory": None,
            "threads": 1,
        }

    @pytest.mark.parametrize(("asked", "workers"), [(None, None), (0, 1), (1, 1), (3, 3)])
    def test_fixed_order_has_the_workers_of_its_study_on_a_cluster_too(self, asked, workers, machine):
        started = machine(cores=2, memory=1, gpus=0)
        _open(Staffing(workers=asked, cluster="tcp://host:8786", is_fixed=True))
        assert (started["workers"], started["is_fixed"]) == (workers, True)


class TestSettle:
    """What is left of the workers after the measurement."""

    @pytest.mark.parametrize(
        ("rates", "left", "asked"),
        [
            ({4: 400, 2: 200, 1: 100}, 4, [4, 2]),
            ({4: 220, 2: 200, 1: 100}, 2, [4, 2, 1]),
            ({4: 100, 2: 100, 1: 100}, 1, [4, 2, 1]),
            ({4: 50, 2: 80, 1: 100}, 1, [4, 2, 1]),  # they hinder each other
            ({6: 400, 3: 390, 1: 100}, 3, [6, 3, 1]),
            ({1: 100}, 1, [1]),
        ],
    )
    def test_workers_that_bring_too_little_go(self, rates, left, asked):
        crew = FakeCrew(rates)
        settle(Staffing(), crew, {})
        assert (crew.kept, crew.asked) == (left, asked)

    @pytest.mark.parametrize(("gain", "left"), [(WORTHWHILE + 0.01, 2), (WORTHWHILE - 0.01, 1)])
    def test_gain_must_be_worth_the_memory(self, gain, left):
        crew = FakeCrew({2: 1000 * gain, 1: 1000})
        settle(Staffing(), crew, {})
        assert crew.kept == left

    @pytest.mark.parametrize("staffing", [Staffing(workers=4), Staffing(cluster="tcp://host:8786")])
    def test_what_was_asked_for_stays(self, staffing):
        crew = FakeCrew({4: 100, 2: 100, 1: 100})
        settle(staffing, crew, {})
        assert (crew.kept, crew.asked) == (4, [4])

    @pytest.mark.parametrize(
        ("staffing", "rates", "sentence"),
        [
            (Staffing(), {2: 1900, 1: 1000}, "2 (chosen by measurement: 1,900 images a second together, 1: 1,000)"),
            (
                Staffing(),
                {2: 1100, 1: 1000},
                "1 (chosen by measurement: more of them are hardly faster than 1,000 images a second)",
            ),
            (Staffing(), {1: 1000}, "1 (1,000 images a second)"),
            (Staffing(workers=2), {2: 1900}, "2 (1,900 images a second together)"),
            (Staffing(workers=0), {1: 1000}, "1 in this process (1,000 images a second)"),
            (Staffing(cluster="tcp://h:1"), {3: 3000}, "3 at tcp://h:1 (3,000 images a second together)"),
        ],
    )
    def test_sentence_says_how_many_and_why(self, staffing, rates, sentence):
        assert settle(staffing, FakeCrew(rates), {})[1] == sentence

    def test_plan_goes_by_the_slowest_and_a_first_start(self):
        measurement, _ = settle(Staffing(workers=3), FakeCrew({3: 300}), {})
        assert measurement == Measurement(start_seconds=2.0, epoch_seconds=12.0, images_per_second=100.0)

    def test_compiling_is_counted_also_where_workers_went(self):
        """The second measurement finds the steps compiled, and would plan with a start of no time."""

        class Warm(FakeCrew):
            def measure(self, hyperparameters, *, together=None):
                cold = not self.asked
                measured = super().measure(hyperparameters, together=together)
                return [m if cold else type(m)(**{**vars(m), "start_seconds": 0.01}) for m in measured]

        measurement, _ = settle(Staffing(), Warm({2: 100, 1: 100}), {})
        assert measurement.start_seconds == 2.0
