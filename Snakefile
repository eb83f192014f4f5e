# One rule a job of the profile: papermill executes the notebook, nbconvert exports it.
# ./run_all.sh calls this in the run's folder; by hand:
#   snakemake --snakefile Snakefile --directory outputs/quick --config profile=quick --cores 2
import json
import os
import shlex
import sys

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.workflow import plan, run

PROFILE = parameters.profile(config.get("profile", "quick"))
RUN_FILE = paths.outputs(PROFILE.name) / "run.json"
RUN = json.loads(RUN_FILE.read_text()) if "fingerprint" in config else run.prepare(PROFILE)
FINGERPRINT = RUN["data"]["fingerprint"]
CORES = int(config.get("cores", artifacts.cores()))  # of one machine; a cluster counts jobs
JOBS = plan.jobs(PROFILE, RUN.get("left_out", ()))
INDEX = ("pages.py", "pages.css", "index.py", "index.html", "documents.py", "story.md")
os.environ.update(run.QUIET)


def from_here(path):
    """A path as seen from the run's folder, so that a moved clone is not run again."""
    return os.path.relpath(path, paths.outputs(PROFILE.name)) if path.is_absolute() else str(path)


localrules: all, index


rule all:
    input:  # each page, as a run that goes on may lack some
        "reports/index.html",
        [f"reports/{job.name}.html" for job in JOBS],


rule index:
    input:
        [f"reports/{job.name}.html" for job in JOBS],
        [from_here(paths.ROOT / "fercore" / "workflow" / name) for name in INDEX],
    output:
        "reports/index.html",
    params:
        python=shlex.quote(sys.executable),
        profile=PROFILE.name,
    shell:
        "{params.python} -m fercore index {params.profile}"


for job in JOBS:

    rule:
        name:
            plan.rule_name(job.name)
        input:
            [from_here(path) for path in job.inputs],
            [f"reports/{name}.html" for name in job.after],
        output:
            f"reports/{job.name}.html",
            [str(path) for path in job.outputs],
        log:  # not an output: the executed copy of a notebook that failed is kept
            f"notebooks/{job.name}.ipynb",
        params:
            python=shlex.quote(sys.executable),
            parameters=shlex.quote(json.dumps(job.parameters)),
            data=FINGERPRINT,
            profile=PROFILE.name,
        threads: run.threads(job, CORES)
        resources:
            training=int(job.trains),
        priority: 2 * job.trains + (plan.REPORTING <= job.notebook < plan.RECOGNISING)  # long ones, chains
        shell:
            "{params.python} -m fercore execute {params.profile} {input[0]} {log} {output[0]} {params.parameters}"
