"""Notebooks executed in processes forked from one that has loaded the libraries: a start takes a
second, not eight.

Most notebooks take less time than the start of papermill, of their kernel and of the export. During
a run a server holds what all of them import. For each notebook it forks a worker, which executes
and exports it, and which has forked the notebook's kernel. On Linux; elsewhere, on the other nodes
of a cluster, or without a server, they start as usual.
"""

import contextlib
import gc
import importlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence

ADDRESS = "FERCORE_WORKERS"  # the variable that tells a run's notebooks of the server's socket
LIBRARIES = [
    "ipykernel.kernelapp",
    "sklearn.metrics",
    "fercore.workflow.execute",
    "fercore.evaluation.aggregation",
    "fercore.evaluation.scoring",
    "fercore.plots.result_figures",
    "fercore.evaluation.tables",
]
FOR_TRAINING = ["fercore.training.experiments"]  # which imports Keras
BACKEND = (
    "module://matplotlib_inline.backend_inline"  # as a kernel sets it before matplotlib is imported
)
# new objects before they are looked through: a figure makes many that live as long as it
GARBAGE = 50_000
FORK = multiprocessing.get_context("fork") if sys.platform == "linux" else None


@contextlib.contextmanager
def server(*, training: bool, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """A server for as long as the block lasts; yields the variables that tell `call` of it.

    `training`: whether notebooks of the run train; `environment`: variables that they are to see.
    """
    if FORK is None:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        address = os.path.join(folder, "socket")
        modules = LIBRARIES + FOR_TRAINING * training
        process = subprocess.Popen(
            [sys.executable, "-m", "fercore", "workers", address, *modules],
            env=os.environ | {"MPLBACKEND": BACKEND} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield {ADDRESS: address}
        finally:
            process.kill()  # its workers follow those who wait for them
            process.wait()


def call(function: str, *arguments) -> int:
    """Call a 'module:function' of fercore in a worker of the run's server, else in this process;
    its exit status."""
    address = os.environ.get(ADDRESS, "")
    if not os.path.exists(address):
        return _call(function, arguments)
    message = {
        "function": function,
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(address)
            socket.send_fds(line, [b"."], [sys.stdout.fileno(), sys.stderr.fileno()])
            line.sendall(json.dumps(message).encode() + b"\n")
            taken = line.recv(1)
        except OSError:
            taken = b""
        if not taken:  # the server could not load its modules: what is wrong with them shows here
            return _call(function, arguments)
        return (line.recv(1) or b"\1")[0]  # nothing: the worker was killed


def serve(address: str, modules: list[str]) -> None:
    """Listen at `address`, import `modules`, then fork a worker for each call, until killed or
    alone."""
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        listener.settimeout(1)
        for module in modules:
            importlib.import_module(module)
        gc.freeze()  # workers need not look through what was imported
        gc.set_threshold(GARBAGE)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for workers
        while os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                line, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    _work(line)
                line.close()


def _work(line: socket.socket) -> None:
    """Answer one call, then end this process."""
    from jupyter_client.provisioning import local_provisioner

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    line.send(b".")
    for number, descriptor in enumerate(socket.recv_fds(line, 1, 2)[1], start=1):
        os.dup2(descriptor, number)
    status, kernel = 1, _Kernel()
    try:
        message = json.loads(line.makefile().readline())
        os.environ.clear()
        os.environ.update(message["environment"])
        os.chdir(message["folder"])
        threading.Thread(target=_end_with, args=(line, kernel), daemon=True).start()
        local_provisioner.launch_kernel = kernel.launch
        status = _call(message["function"], message["arguments"])
    except ValueError as error:
        print(f"fercore: {error}", file=sys.stderr)
    except Exception:
        traceback.print_exc()
    finally:
        kernel.kill()
        sys.stdout.flush()
        sys.stderr.flush()
        line.send(bytes([status]))
        os._exit(status)


def _call(function: str, arguments: Sequence) -> int:
    module, name = function.split(":")
    result = getattr(importlib.import_module(f"fercore.{module}"), name)(*arguments)
    return result if isinstance(result, int) else 0


def _end_with(line: socket.socket, kernel: "_Kernel") -> None:
    """End this worker and its kernel when who waits for it is gone."""
    with contextlib.suppress(OSError):
        if line.recv(1) == b"":
            kernel.kill()
            os._exit(1)


if FORK is not None:

    class _Kernel(FORK.Process):
        """A kernel forked before anything runs in this process; it waits for its command line.

        Jupyter handles it as the `subprocess.Popen` that its own launcher returns.
        """

        stdin = stdout = stderr = None

        def __init__(self):
            self._there, self._here = FORK.Pipe(duplex=False)
            super().__init__()
            self.start()
            os.setpgid(self.pid, self.pid)  # Jupyter signals the group
            self._there.close()

        def run(self) -> None:
            """Wait, then be the kernel."""
            self._here.close()
            command, environment = self._there.recv()
            os.environ.clear()
            os.environ.update(environment)
            from ipykernel.kernelapp import launch_new_instance

            sys.argv = [
                *command[2:],
                f"--IPKernelApp.parent_handle={os.getppid()}",
            ]  # without python -m
            launch_new_instance()

        def launch(self, command: list[str], *, env: dict[str, str], **_) -> "_Kernel":
            """Send the command line that Jupyter would start."""
            self._here.send((command, dict(env)))
            return self

        def poll(self) -> int | None:
            """The exit status; None while it runs."""
            return self.exitcode

        def wait(self) -> int:
            """Wait for its end."""
            self.join()
            return self.exitcode

        def send_signal(self, number: int) -> None:
            """Send a signal."""
            os.kill(self.pid, number)
