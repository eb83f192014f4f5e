"""Run a profile by Snakemake: data checked, one run at a time, nothing left running at its end."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.config.parameters import Profile
from fercore.config.reading import ParameterError
from fercore.data import datasets, splits
from fercore.workflow import plan, progress

QUIET = {
    "PAPERMILL": "1",  # no progress bars in executed notebooks
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # two trainings may share a GPU
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
CORES_A_TRAINING = 8  # TensorFlow gains little from more
INTERRUPTED = 130


def prepare(profile: Profile) -> dict:
    """Find and verify the data of a profile, write run.json into its folder, return it. Its
    `left_out` says why by split, if the data cannot be divided by one. Raises
    `datasets.DatasetError`, or `ParameterError` when the profile needs FER2013, not found."""
    faces = at_hand = datasets.load(profile.data)
    if not (profile.networks or profile.data or faces.is_fer2013):
        faces = datasets.facts()  # the labels are all that predictions are scored by
    if profile.requires_fer2013 and not faces.is_fer2013:
        fault = f"needs the labels of FER2013, found {faces.origin}"
        cure = "put fer2013.csv into data/ or say FER2013=path ./run_all.sh"
        raise ParameterError(f"profile {profile.name}: {fault}; {cure}")
    if profile.predictions:
        from fercore.workflow import publish  # not above: it takes seconds to import

        publish.fetch(profile.predictions, profile.name)
    counts = {usage: int((faces.usage == usage).sum()) for usage in datasets.USAGES}
    data: dict = {"origin": faces.origin, "fingerprint": faces.fingerprint, "faces": counts}
    if faces is not at_hand:
        data["pictures"] = at_hand.origin
    content = {"profile": profile.name, "description": profile.description, "data": data}
    predicted = {key[0] for key in artifacts.list_predictions(paths.outputs(profile.name))}
    names = [*(profile.networks or sorted(predicted)), *plan.about(profile)]
    if left_out := splits.obstacles(faces, names):
        content["left_out"] = left_out
    path = paths.outputs(profile.name) / "run.json"
    if not path.exists() or json.loads(path.read_text()) != content:
        artifacts.write_json(path, content)
    return content


def default() -> list[str]:
    """The profiles that fit the data at hand, to be run one after the other."""
    return ["quick"] if datasets.find() else ["rederived", "demonstration"]


def threads(job: plan.Job, cores: int) -> int:
    """Cores of a job: a training leaves one to notebooks beside it, what times the machine none."""
    if job.parameters.get("own_way_faces"):
        return cores
    return max(1, min(CORES_A_TRAINING, cores - 1)) if job.trains else 1


def run(
    name: str, *, cores: int, force: bool = False, dry_run: bool = False, extra: Sequence[str] = ()
) -> int:
    """Run a profile and print its progress; 0 done, 1 a notebook failed, 130 interrupted."""
    if (named := os.environ.get("FER2013")) and named != datasets.SYNTHETIC:
        # absolute, as notebooks run in another folder
        os.environ["FER2013"] = os.path.abspath(os.path.expanduser(named))
    profile = parameters.profile(name)
    plan.jobs(profile)  # a mistake in it is an error before data are read
    folder = paths.outputs(name)
    with _locked(folder) as lock:
        artifacts.remove_unfinished(folder, paths.CACHE)
        content = prepare(profile)
        if force and not dry_run and profile.networks:
            _forget(folder)
        _announce(profile, content)
        # A fresh clone has committed pages, but not all that they are made of
        chosen = {"--forceall": force or not (folder / "notebooks").exists(), "--dry-run": dry_run}
        extra = [option for option, on in chosen.items() if on] + list(extra)
        options = _options(name, content["data"]["fingerprint"], cores, extra)
        return _supervise([name, str(cores), *options], folder / "run.log", lock)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """The descriptor of the run's lock. Snakemake inherits it, so the lock lives as long."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fault = "runs already, in another terminal; wait for it or stop it"
            raise ParameterError(f"profile {folder.name}: {fault}") from None
        yield lock.fileno()


def _forget(folder: Path) -> None:
    """Remove what the trainings of a run would go on from."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    sweeps = ("learning_rates.*.csv", "ablation.*.csv", "one_budget.*.csv")
    found = [path for pattern in sweeps for path in (folder / "tables").glob(pattern)]
    for path in (*found, *folder.glob("search/*.db")):
        path.unlink()


def _announce(profile: Profile, content: dict) -> None:
    data = content["data"]
    counts = ", ".join(f"{count:,} {usage}" for usage, count in data["faces"].items())
    known = data["origin"].startswith("FER2013")
    warning = "" if known else "; no number of this run says anything about FER2013"
    print(f"Profile {profile.name}: {profile.description}")
    print("Data:   ", artifacts.printable(f"{data['origin']} ({counts}){warning}", 200))
    for split, reason in content.get("left_out", {}).items():
        print(f"Without: {split} ({artifacts.printable(reason, 200)})")
    sys.stdout.flush()


def _options(name: str, fingerprint: str, cores: int, extra: Sequence[str]) -> list[str]:
    """Snakemake's options. An executor of its own, for a cluster, counts jobs, not cores."""
    options = ["--snakefile", str(paths.ROOT / "Snakefile")]
    options += ["--directory", str(paths.outputs(name))]
    options += ["--nolock", "--rerun-incomplete", "--keep-going", "--nocolor"]
    options += ["--rerun-triggers", "mtime", "params", "input"]
    if not any(one.startswith(("--executor", "-e")) for one in extra):
        trainings = max(1, cores // CORES_A_TRAINING)
        options += ["--cores", str(cores), "--resources", f"training={trainings}"]
    known = f"profile={name}", f"fingerprint={fingerprint}", f"cores={cores}"
    return [*options, *extra, "--config", *known]


def _supervise(arguments: list[str], log: Path, lock: int) -> int:
    """Run Snakemake in a session of its own, whose every process ends with it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # of nohup
            signal.signal(number, signal.default_int_handler)
    with open(log, "wb") as text:
        how: dict = {"stdin": subprocess.DEVNULL, "stderr": text, "env": os.environ | QUIET}
        how |= {"start_new_session": True, "pass_fds": (lock,), "cwd": paths.ROOT}
        process = subprocess.Popen([sys.executable, "-m", progress.__name__, *arguments], **how)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        _stop(process)
        print("\nStopped. The same command goes on where it was.")
        return INTERRUPTED
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it left, if it was killed
    if status < 0:
        place, causes = paths.place(log), "out of memory? disk full?"
        print(f"fercore: Snakemake was killed ({causes}); see {place}", file=sys.stderr)
    return min(abs(status), 1)


def _stop(process: subprocess.Popen) -> None:
    """End Snakemake and what it started: terminated first, killed after 20 seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(process.pid, number)
            process.wait(timeout=20)
            return
