"""A run of a small project: failures, changes, a full disk, a cluster."""

import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys

import nbformat
import pytest

from fercore import artifacts, paths

PARAMETERS = """
from typing import Optional
data: Optional[str] = None
profile: str = "x"
level: int = 1
"""
TRAIN = """
import numpy as np
from fercore import artifacts, paths
z = np.full((2, 7), 1 / 7)
predictions = artifacts.Predictions(np.arange(2), np.array([1, 2]), z, z)
key = paths.outputs(profile), split, network, seed
artifacts.save_predictions(*key, predictions, {"network": network})
artifacts.write_atomically(artifacts.history_path(*key), "epoch")
assert level < 9, "too high"
"""
FAMILY = 'split: str = "a"\nnetwork: str = "b"\nseed: int = 0\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of its own with four notebooks that take a second each."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(paths.ROOT / "fercore", root / "fercore")
    shutil.copy(paths.ROOT / "Snakefile", root)
    sources = {
        "00_data": [PARAMETERS, "level"],
        "10_net": [PARAMETERS + FAMILY, TRAIN],
        "20_mean": [PARAMETERS + 'split: str = "a"', "level"],
        "30_tables": [PARAMETERS, "level"],
    }
    for name, cells in sources.items():
        new = [nbformat.v4.new_markdown_cell(f"# {name}"), *map(nbformat.v4.new_code_cell, cells)]
        new[1].metadata["tags"] = ["parameters"]
        (root / "notebooks").mkdir(exist_ok=True)
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = nbformat.v4.new_notebook(cells=new, metadata={"kernelspec": kernel})
        nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
    for path, text in {
        "networks/one.yaml": "{notebook: 10_net, recipe: study, base: cnn, inputs: [image]}",
        "recipes/study.yaml": "{}",
        "profiles/try.yaml": "{data: synthetic, networks: {official: [one]}}",
    }.items():
        artifacts.write_atomically(root / "params" / path, text)
    return root


def surroundings(root):
    """How a run of the project is started."""
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONWARNINGS": "ignore"}
    return {"cwd": root, "text": True, "stdin": subprocess.DEVNULL, "env": environment}


def command_of(root, parameters, *options):
    """The command that runs the project with these notebook parameters."""
    profile = {
        "description": "a try",
        "data": "synthetic",
        "networks": {"official": ["one"]},
        "parameters": parameters,
    }
    (root / "params/profiles/try.yaml").write_text(json.dumps(profile))
    return [sys.executable, "-m", "fercore", "run", "try", "--cores", "2", *options]


def run_project(root, parameters, *options, **more):
    """(exit status, what it prints) of the project's run with these notebook parameters."""
    command = command_of(root, parameters, *options)
    call = subprocess.run(command, capture_output=True, timeout=600, **surroundings(root), **more)
    return call.returncode, call.stdout + call.stderr


def test_a_failure_names_notebook_cell_error_and_copy_and_the_rest_goes_on(project):
    status, text = run_project(project, {"all": {"level": 9}})
    assert status == 1 and "To do:   4 notebooks" in text, text
    named = (
        "10_net.official.one.seed0: cell [3] `import numpy as np`: AssertionError: too high; "
        "open outputs/try/notebooks/10_net.official.one.seed0.ipynb"
    )
    assert named in text
    assert (project / "outputs/try/notebooks/10_net.official.one.seed0.ipynb").exists()
    assert (project / "outputs/try/reports/00_data.html").exists()
    index = (project / "outputs/try/reports/index.html").read_text()
    assert "one that failed: 10_net.official.one.seed0" in index


def test_only_what_depends_on_a_change_runs_again(project):
    status, text = run_project(project, {})
    assert status == 0 and "\nDone in " in text, text
    assert text.endswith("\nLive on synthetic faces: outputs/try/reports/index.html\n")
    status, text = run_project(project, {"20_mean": {"level": 2}}, "--dry-run")
    assert "To do:   2 notebooks (2 up to date)" in text
    assert "20_mean.official" in text and "30_tables" in text
    status, text = run_project(project, {})
    assert status == 0 and "Nothing to do" in text


def limited():
    """No file of this process and its children grows beyond 2 kB: as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))


def test_a_disk_that_is_full_ends_the_run_in_a_line_and_leaves_nothing_running(project):
    status, text = run_project(project, {"all": {"level": 4}}, preexec_fn=limited)
    assert status not in (0, 2) and "Traceback" not in text, text
    assert "disk full?" in text or "File too large" in text, text
    assert "outputs/try" in text
    is_free(project / "outputs/try/.lock")


def test_a_reader_of_its_lines_that_goes_away_stops_the_run(project):
    with subprocess.Popen(
        command_of(project, {"all": {"level": 5}}), stdout=subprocess.PIPE, **surroundings(project)
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=120) not in (0, None)
    is_free(project / "outputs/try/.lock")


def is_free(lock):
    """Fails while Snakemake holds the lock."""
    with open(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_outputs_that_cannot_be_written_are_one_line(project):
    kept = (project / "outputs").rename(project / "kept")
    try:
        (project / "outputs").write_text("a file, not a folder")
        status, text = run_project(project, {})
    finally:
        (project / "outputs").unlink(missing_ok=True)
        kept.rename(project / "outputs")
    assert status == 2 and text == "fercore: " + text.removeprefix("fercore: ")
    assert len(text.strip().splitlines()) == 1 and "Not a directory" in text


EXECUTOR = """
import subprocess
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings
common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False,
    job_deploy_sources=False, pass_default_storage_provider_args=True,
    pass_default_resources_args=True, pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False, init_seconds_before_status_checks=0)
class Executor(RemoteExecutor):
    def run_job(self, job):
        process = subprocess.Popen(self.format_job_exec(job), shell=True)
        info = SubmittedJobInfo(job, external_jobid=str(process.pid), aux={"process": process})
        print("submitted", job.name, job.threads, flush=True)
        self.report_job_submission(info)
    async def check_active_jobs(self, active_jobs):
        for info in active_jobs:
            status = info.aux["process"].poll()
            if status is None:
                yield info
            elif status == 0:
                self.report_job_success(info)
            else:
                self.report_job_error(info)
    def cancel_jobs(self, active_jobs):
        for info in active_jobs:
            info.aux["process"].kill()
"""


def test_a_cluster_runs_every_notebook_as_a_job_of_its_own(project):
    """By an executor that hands jobs to a shell, as one for SLURM hands them to sbatch."""
    plugin = project / "snakemake_executor_plugin_try" / "__init__.py"
    artifacts.write_atomically(plugin, EXECUTOR)
    options = ("--", "--executor", "try", "--jobs", "2", "--seconds-between-status-checks", "1")
    status, text = run_project(project, {"all": {"level": 6}}, *options)
    assert status == 0, text
    log = (project / "outputs/try/run.log").read_text()
    assert log.count("submitted job_") == 4  # index is local


def test_options_behind_two_dashes_go_to_snakemake(project):
    status, text = run_project(project, {}, "--dry-run", "--", "--quiet", "nonsense")
    assert status == 1 and "nonsense" in text


def test_an_undeclared_key_stops_before_anything_runs(project):
    before = (
        (project / "outputs/try").stat().st_mtime if (project / "outputs/try").exists() else None
    )
    status, text = run_project(project, {"10_net": {"levl": 2}})
    assert status == 2 and len(text.strip().splitlines()) == 1
    assert (
        "params/profiles/try.yaml: 'levl' is no parameter of notebook 10_net; did you mean 'level'?"
        in text
    )
    assert before is None or (project / "outputs/try").stat().st_mtime == before
