"""Starts the real processes on free loopback ports, for the end-to-end tests."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(os.environ["CONDENSE_SOURCE_DIR"])
BIN = pathlib.Path(os.environ["CONDENSE_BINARY_DIR"]) / "bin"
DIGITS = SOURCE / "examples" / "digits"
PROFILE = "onnxruntime-cpu-x86-vnni"
SMALL_PROFILE = "onnxruntime-cpu-x86-avx2"
DEADLINE_SECONDS = 120


def wait_for(what, condition, seconds=DEADLINE_SECONDS):
    """The condition's first true value; fails loudly after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


def long_recipe(epochs=25):
    """Distils and trains through quantization long enough to be interrupted."""
    text = (DIGITS / "prune_distil_qat.yaml").read_text()
    assert "epochs: 20" in text and "epochs: 3" in text
    return text.replace("epochs: 20", f"epochs: {epochs}").replace("epochs: 3", "epochs: 6")


class Process:
    """One of our servers; `address` is the JSON line that it prints."""

    def __init__(self, folder, name, arguments):
        self.log = folder / f"{name}.log"
        with open(self.log, "w") as log:
            self.child = subprocess.Popen([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=log,
                                          stdin=subprocess.DEVNULL, text=True)
        line = self.child.stdout.readline()
        if not line:
            raise AssertionError(f"{name} did not start: {self.log.read_text()}")
        self.address = json.loads(line)

    @property
    def pid(self):
        return self.child.pid

    def stop(self, sig=signal.SIGTERM, seconds=70):
        if self.child.poll() is None:
            self.child.send_signal(sig)
        code = self.child.wait(seconds)
        self.child.stdout.close()
        return code


class Stack:
    """A server, workers, and a folder that goes with them."""

    def __init__(self, lease=30):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="condense-e2e-"))
        self.lease = lease
        self.workers = []
        self.server = None
        self.start_server("127.0.0.1:0")

    def start_server(self, listen):
        self.server = Process(self.folder, "server", [
            BIN / "condense-server", "--data-dir", self.folder / "server", "--listen", listen,
            "--metrics-listen", "127.0.0.1:0", "--lease", self.lease])

    def add_worker(self, name, *flags):
        worker = Process(self.folder, name, [
            BIN / "condense-worker", "--server", self.server.address["grpc"], "--work-dir", self.folder / name,
            "--name", name, "--device", "cpu", "--metrics-listen", "127.0.0.1:0", *flags])
        self.workers.append(worker)
        return worker

    def close(self):
        for process in [*self.workers, self.server]:
            if process.child.poll() is None:
                process.child.send_signal(signal.SIGTERM)
        for process in [*self.workers, self.server]:
            try:
                process.stop()
            except subprocess.TimeoutExpired:
                process.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def condense(self, *arguments, check=True, seconds=DEADLINE_SECONDS):
        """Runs the CLI; the finished process with text output."""
        done = subprocess.run([str(BIN / "condense"), "--server", self.server.address["grpc"],
                               *[str(a) for a in arguments]],
                              capture_output=True, text=True, timeout=seconds)
        if check and done.returncode != 0:
            raise AssertionError(f"condense {arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def submit(self, recipe, *more, profiles=(PROFILE,), check=True, model=None, data=None):
        """Submits digits; the JSON that submit prints, or the process when not `check`."""
        path = self.folder / "recipe.yaml"
        path.write_text(recipe)
        sets = data if data is not None else {"train": DIGITS / "data" / "train", "test": DIGITS / "data" / "test"}
        arguments = ["submit", "--json", "--model", model or DIGITS / "model.onnx", "--recipe", path]
        for name, where in sets.items():
            arguments += ["--data", f"{name}={where}"]
        for profile in profiles:
            arguments += ["--profile", profile]
        done = self.condense(*arguments, *more, check=check)
        return json.loads(done.stdout.splitlines()[0]) if check else done

    def job(self, name):
        return json.loads(self.condense("get", "--json", name).stdout)

    def events(self, name):
        """Every event of a finished job, in order."""
        done = self.condense("watch", "--json", name, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_state(self, name, *states):
        def look():
            job = self.job(name)
            return job if job["state"] in states else None
        return wait_for(f"{name} becomes {states}", look)

    def wait_training(self, name, steps=1):
        """Until a training step past `steps` is reported; the job."""
        def look():
            job = self.job(name)
            if job["state"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
                raise AssertionError(f"ended before it was interrupted: {job}")
            progress = job.get("progress", {})
            return job if int(progress.get("step", 0)) >= steps and int(progress.get("total_steps", 0)) > 50 else None
        return wait_for(f"{name} trains", look)

    def wait_checkpoint(self, name):
        """Until a checkpoint of a training step is stored."""
        def look():
            checkpoint = self.job(name).get("checkpoint", {})
            return int(checkpoint.get("step", 0)) > 0 and checkpoint
        return wait_for(f"{name} has a checkpoint", look)

    def download(self, name):
        out = self.folder / "out" / name.split("/")[-1]
        self.condense("download", name, "--out", out)
        return out


def children(pid):
    """Processes whose parent is `pid`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.name))
    return found


def working_engine(worker):
    """The engine of the worker that has a job: its log and job folder say so."""
    jobs = None
    for pid in children(worker.pid):
        try:
            descriptors = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            threads = len(os.listdir(f"/proc/{pid}/task"))
            cpu = sum(int(v) for v in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
        except OSError:
            continue
        if jobs is None or cpu > jobs[1]:
            jobs = (pid, cpu, descriptors, threads)
    assert jobs is not None, "the worker has no engine"
    return jobs[0]
