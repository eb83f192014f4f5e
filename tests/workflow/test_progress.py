"""Snakemake's events become lines with the time left."""

import io
import logging
import time

import pytest

from fercore import artifacts
from fercore.config import parameters
from fercore.workflow import execute, plan, progress
from fercore.workflow.progress import Progress

EXPECTED = {"10_a.one": 60.0, "20_b": 120.0, "30_c": 30.0}


def event(kind, **said):
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, "", None, None)
    vars(record).update(said, event=kind)
    return record


def followed(*events, **more):
    """(progress, its lines) after these events."""
    seen = Progress(EXPECTED, 2, io.StringIO(), **more)
    for one in events:
        seen.take(one)
    return seen, seen.out.getvalue().splitlines()


PLAN = event("run_info", stats={"job_10_a_one": 1, "job_20_b": 1, "index": 1, "total": 3})


def begun(name, number):
    return event("job_info", rule_name=name, jobid=number)


def test_the_plan_says_how_much_there_is_to_do_and_how_long_it_takes():
    seen, lines = followed(PLAN)
    assert seen.planned == ["10_a.one", "20_b"]
    assert lines == ["To do:   2 notebooks (1 up to date), about 3 min on 2 cores"]


def test_a_dry_run_lists_the_plan_and_takes_nothing_for_done():
    seen, lines = followed(PLAN, begun("job_20_b", 1), PLAN, dry_run=True)
    assert lines[1:] == ["  10_a.one  60 s", "  20_b  2 min"]
    assert not seen.running and not seen.done


def test_each_end_is_a_line_and_a_job_tried_again_did_not_fail():
    seen, lines = followed(
        PLAN,
        begun("index", 7),
        begun("job_10_a_one", 1),
        event("job_error", rule_name="job_10_a_one"),
        begun("job_10_a_one", 2),
        event("job_finished", job_id=2),
        event("job_finished", job_id=7),
        begun("job_20_b", 3),
        event("job_error", rule_name="job_20_b"),
        event("something else"),
    )
    assert [line.split("about")[0].split() for line in lines[1:]] == [
        ["[1/2]", "10_a.one", "FAILED"],
        ["[1/2]", "10_a.one", "0", "s"],
        ["[2/2]", "20_b", "FAILED"],
    ]
    assert seen.done == ["10_a.one"] and seen.failed == ["20_b"] and not seen.running


def test_the_pace_of_what_is_done_corrects_the_time_left():
    seen, _ = followed(PLAN, begun("job_10_a_one", 1), event("job_finished", job_id=1))
    seen.started = time.monotonic() - 120  # twice as long as expected
    assert seen.seconds_left() == pytest.approx(240, rel=0.01)
    seen.take(begun("job_20_b", 2))
    assert seen.status().startswith("1 of 2 done, about 4 min left; 20_b (0 s)")


def test_a_name_with_terminal_escapes_is_not_obeyed():
    seen, _ = followed()
    seen.say("a\x1b[2Jb\x07\udcff\n")
    assert seen.out.getvalue() == "a?[2Jb???\n"


def test_the_profile_says_how_long_a_network_or_a_notebook_takes():
    profile = parameters.Profile(name="try", minutes={"FER2013": {"10_a": 2, "net": 3}})
    jobs = [
        plan.Job("10_a.net", "10_a", {"network": "net"}),
        plan.Job("10_a.x", "10_a", {}),
        plan.Job("20_b", "20_b", {}),
    ]
    found = progress.expected_seconds(profile, {"origin": "FER2013, complete"}, jobs)
    assert found == {"10_a.net": 180, "10_a.x": 120, "20_b": 18}


def test_a_failure_is_the_line_that_its_notebook_left(tmp_path):
    artifacts.write_atomically(tmp_path / "notebooks/10_a.error", "DeadKernelError: Kernel died")
    assert execute.failure(tmp_path, "10_a").startswith("10_a: DeadKernelError: Kernel died; open ")
    told = execute.failure(tmp_path, "20_b")
    assert "20_b: ended without an error" in told and told.endswith("run.log")


def test_what_an_interruption_stops_did_not_fail():
    seen, _ = followed(PLAN, begun("job_20_b", 1))
    seen.interrupted = True
    seen.take(event("job_error", rule_name="job_20_b"))
    assert not seen.failed and len(seen.out.getvalue().splitlines()) == 1
