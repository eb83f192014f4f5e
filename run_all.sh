#!/usr/bin/env bash
# Makes the environment when it is missing, then runs the whole series, or the tests.
set -euo pipefail
from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

# A path as the user meant it, from where the command was given
absolute() (
    cd "$from"
    [[ -e $1 ]] || exit 1
    cd "$(dirname -- "$1")"
    printf '%s/%s' "$PWD" "$(basename -- "$1")"
)

usage() {
    cat <<'TEXT'
./run_all.sh [options] [-- Snakemake options]    run the whole series
./run_all.sh test [pytest options]               check format, types and imports, run the tests

Options
  --profile NAME   what to run (below); when not given: quick with FER2013, else rederived, then demonstration
  --data PATH      FER2013: a file or a folder; else $FER2013, data/, Kaggle, the embedded synthetic faces
  --cores N        cores to use; all when not given
  --force          run everything again
  -n, --dry-run    say what would run, run nothing
  -h, --help       this text

Profiles (params/profiles/)
TEXT
    for file in params/profiles/*.yaml; do
        printf '  %-13s %s\n' "$(basename "$file" .yaml)" "$(sed -n 's/^description: *//p' "$file")"
    done
    printf '\nAll cluster options of Snakemake go after --, for instance\n'
    printf '  ./run_all.sh --profile full -- --executor slurm --jobs 8\n'
    printf 'after .venv/bin/pip install snakemake-executor-plugin-slurm; where jobs are not accounted, with\n'
    printf '  --slurm-status-command squeue\n'
}

fail() {
    printf 'run_all.sh: %s\n' "$1" >&2
    exit "${2:-2}"
}

parse() {
    profile='' cores='' arguments=()
    while (($#)); do
        case $1 in
            -h | --help) usage; exit 0 ;;
            --profile | --cores | --data)
                (($# > 1)) || fail "$1 wants a value; see --help"
                set_option "$1" "$2"
                shift 2 ;;
            --profile=* | --cores=* | --data=*) set_option "${1%%=*}" "${1#*=}"; shift ;;
            --force) arguments+=(--force); shift ;;
            -n | --dry-run) arguments+=(--dry-run); shift ;;
            --) shift; arguments+=(-- "$@"); break ;;
            *) fail "unknown option $1; see --help" ;;
        esac
    done
}

set_option() {
    case $1 in
        --profile)
            [[ $2 =~ ^[A-Za-z0-9_-]+$ ]] || fail "--profile wants a name of letters, digits, - and _, not '$2'"
            [[ -f params/profiles/$2.yaml ]] ||
                fail "unknown profile $2; there are $(cd params/profiles && echo *.yaml | sed 's/\.yaml//g; s/ /, /g')"
            profile=$2 ;;
        --cores)
            [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "--cores wants a number of cores, not '$2'"
            cores=$2 ;;
        --data)
            FER2013=$(absolute "$2") || fail "--data $2: no such file or folder"
            export FER2013 ;;
    esac
}

# The environment: an active one that has the package and what it needs, else .venv
find_python() {
    local active=${CONDA_PREFIX:-${VIRTUAL_ENV:-}}
    if [[ -n $active && $active != "$PWD/.venv" && -x $active/bin/python ]] && has_everything "$active/bin/python"; then
        python=$active/bin/python
    else
        python=$PWD/.venv/bin/python
        make_venv
    fi
    PATH=$(dirname "$python"):$PATH
    export PATH PYTHONNOUSERSITE=1
}

has_everything() {
    "$1" -P - "$PWD" <<'CODE' 2>/dev/null  # -P: where it is installed, not where this stands
import importlib.util as u, os, sys
names = ("cv2", "ipykernel", "keras", "nbconvert", "papermill", "snakemake", "tensorflow")
own = u.find_spec("fercore")
sys.exit(not (own and os.path.samefile(os.path.dirname(own.origin), os.path.join(sys.argv[1], "fercore"))
              and all(u.find_spec(name) for name in names)))
CODE
}

make_venv() {
    local wanted stamp=.venv/requirements.cksum unfinished=.venv/unfinished
    wanted=$(cksum <requirements.txt)
    if [[ -x $python && ! -e $unfinished && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
        return
    fi
    if [[ -e $unfinished ]]; then
        printf 'An installation was interrupted; making .venv anew\n'
    elif [[ -f $stamp ]]; then
        printf 'requirements.txt has changed; bringing .venv up to date\n'
    fi
    if [[ -e $unfinished || ! -x $python ]] || ! "$python" -m pip --version >/dev/null 2>&1; then
        new_venv
    fi
    touch $unfinished
    printf 'Installing the packages of requirements.txt into .venv (3.8 GB on disk, some minutes) ...\n'
    install --requirement requirements.txt
    install --no-deps --no-build-isolation --editable .
    printf '%s\n' "$wanted" >$stamp
    rm $unfinished
}

new_venv() {
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            "$candidate" -m venv --clear .venv >/dev/null ||
                fail "$candidate -m venv failed; on Debian: apt-get install python3-venv" 1
            return
        fi
    done
    fail "needs Python 3.11, 3.12 or 3.13; found $(python3 --version 2>&1 || true)" 1
}

install() {
    "$python" -m pip install --disable-pip-version-check --progress-bar off "$@" >>.venv/install.log 2>&1 ||
        fail "pip install failed: $(grep -m1 '^ERROR' .venv/install.log || tail -n1 .venv/install.log); see .venv/install.log" 1
}

if [[ ${1:-} == test ]]; then
    shift
    find_python
    status=0
    "$python" -m ruff format --check . || status=$?
    "$python" -m ruff check . || status=$?
    "$python" -m mypy fercore || status=$?
    "$(dirname "$python")/lint-imports" || status=$?
    "$python" -m pytest "$@" || status=$?
    exit "$status"
fi
parse "$@"
if [[ -n ${FER2013:-} && $FER2013 != synthetic ]]; then
    found=$(absolute "$FER2013") || fail "FER2013=$FER2013: no such file or folder"
    export FER2013=$found
fi
find_python
exec "$python" -m fercore run ${profile:+"$profile"} ${cores:+--cores "$cores"} ${arguments[@]+"${arguments[@]}"}
