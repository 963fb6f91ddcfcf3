#!/usr/bin/env python3
"""End to end: the real server, worker, engine and CLI on free loopback ports.

Usage: e2e_test.py [TestClass[.test]]   (CONDENSE_SOURCE_DIR, CONDENSE_BINARY_DIR)
"""
import hashlib
import json
import os
import signal
import subprocess
import time
import unittest
import urllib.request

from stack import (BIN, DIGITS, PROFILE, SMALL_PROFILE, Stack, children, long_recipe, wait_for, working_engine)


class StackTest(unittest.TestCase):
    lease = 30

    def setUp(self):
        self.stack = Stack(self.lease)
        self.addCleanup(self.stack.close)

    def check_sequence(self, events):
        self.assertEqual([int(e["sequence"]) for e in events], list(range(1, len(events) + 1)))

    def reference_digest(self, recipe):
        """The model that the same recipe gives when nothing happens."""
        name = self.stack.submit(recipe)["name"]
        job = self.stack.wait_state(name, "SUCCEEDED", "FAILED")
        self.assertEqual(job["state"], "SUCCEEDED", job)
        self.assertEqual(len(job["attempts"]), 1)
        return model_digest(job)


def model_digest(job):
    return next(f["digest"] for f in job["artifacts"][0]["files"] if f["name"] == "model.onnx")


class DigitsTest(StackTest):
    def test_the_example_becomes_two_verified_artifacts(self):
        self.stack.add_worker("w1")
        recipe = (DIGITS / "prune_distil_qat.yaml").read_text()
        out = self.stack.folder / "artifacts"
        done = self.stack.submit(recipe, "--watch", "--out", out, profiles=(PROFILE, SMALL_PROFILE), check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        events = [line for line in lines if "sequence" in line]
        self.check_sequence(events)
        self.assertLessEqual({"state", "phase", "metric", "progress", "checkpoint", "artifact"},
                             {e["type"] for e in events})
        phases = [e["phase"] for e in events if e["type"] == "phase"]
        self.assertEqual(phases[:5], ["FETCHING", "PREFLIGHT", "BASELINE_EVALUATION", "PRUNING", "DISTILLING"])
        job = lines[-1]
        self.assertEqual(job["state"], "SUCCEEDED")
        digests = set()
        for artifact in job["artifacts"]:
            folder = out / artifact["profile"]
            for file in artifact["files"]:
                data = (folder / file["name"]).read_bytes()
                self.assertEqual("sha256:" + hashlib.sha256(data).hexdigest(), file["digest"])
                self.assertEqual(len(data), int(file["size_bytes"]))
            self.check_report(folder, artifact["verdict"])
            digests.add(next(f["digest"] for f in artifact["files"] if f["name"] == "model.onnx"))
        self.assertEqual(len(digests), 2, "7-bit and 8-bit weights must differ")

    def check_report(self, folder, verdict):
        report = json.loads((folder / "report.json").read_text())
        before, after = report["baseline"], report["compressed"]
        self.assertEqual(verdict, "PASSED")
        self.assertEqual(report["verdict"], "PASSED")
        self.assertGreaterEqual(before["metrics"]["top1"], 0.97)
        self.assertGreaterEqual(after["metrics"]["top1"], before["metrics"]["top1"] - 0.01)
        self.assertLessEqual(after["macs"], 0.5 * before["macs"])
        self.assertLessEqual(after["parameters"], 0.55 * before["parameters"])
        self.assertLessEqual(after["size_bytes"], 0.2 * before["size_bytes"])
        self.assertEqual(after["size_bytes"], (folder / "model.onnx").stat().st_size)
        self.assertEqual(report["agreement"]["samples"], 360)
        self.assertGreaterEqual(report["agreement"]["top1"], 0.995)
        self.assertLessEqual(report["agreement"]["max_lsb"], 1)
        self.assertTrue(any(layer["channels_after"] < layer["channels_before"] for layer in report["layers"]))
        self.assertEqual([s["name"] for s in report["stages"]], ["prune", "finetune", "quantize"])
        page = (folder / "report.html").read_text()
        self.assertNotIn("http://", page)
        self.assertNotIn("<script", page)
        statement = json.loads((folder / "provenance.json").read_text())
        self.assertEqual(statement["_type"], "https://in-toto.io/Statement/v1")
        digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        self.assertEqual(statement["subject"][0]["digest"]["sha256"], digest)
        tensors = json.loads((folder / "tensors.json").read_text())["tensors"]
        self.assertIn("int8", {t["dtype"] for t in tensors})

    def test_a_gate_that_does_not_hold_gives_exit_code_3(self):
        self.stack.add_worker("w1")
        recipe = (DIGITS / "ptq.yaml").read_text()
        done = self.stack.submit(recipe, "--wait", "--gate", "max_size_bytes=1000", check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        job = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(job["artifacts"][0]["verdict"], "TOO_LARGE")


class CommandsTest(StackTest):
    def test_every_command_answers_from_a_real_server(self):
        self.stack.add_worker("w1")
        health = self.stack.condense("health")
        self.assertIn("SERVING", health.stdout)
        profiles = [json.loads(line) for line in self.stack.condense("profiles", "list", "--json").stdout.splitlines()]
        self.assertEqual({p["id"] for p in profiles}, {PROFILE, SMALL_PROFILE, "onnxruntime-opset21-int4"})
        self.assertIn("VPMADDUBSW", self.stack.condense("profiles", "show", SMALL_PROFILE).stdout)
        workers = wait_for("the worker is listed", lambda: self.stack.condense("workers", "--json").stdout.splitlines())
        self.assertEqual(json.loads(workers[0])["name"], "w1")
        submitted = self.stack.submit((DIGITS / "ptq.yaml").read_text(), "--name", "a title", "--label", "team=vision",
                                      "--request-id", "5f0c3d1e-7d39-4b7a-9a53-0a8f4f6f1d11")
        name = submitted["name"]
        self.assertLessEqual({"name", "uid", "state", "request_id"}, set(submitted))
        again = self.stack.submit((DIGITS / "ptq.yaml").read_text(), "--name", "a title", "--label", "team=vision",
                                  "--request-id", "5f0c3d1e-7d39-4b7a-9a53-0a8f4f6f1d11")
        self.assertEqual(again["name"], name, "the same request is the same job")
        self.stack.wait_state(name, "SUCCEEDED")
        short = name.split("/")[-1]
        listed = [json.loads(line) for line in self.stack.condense("list", "--json").stdout.splitlines()]
        self.assertEqual([j["name"] for j in listed], [name])
        artifacts = [json.loads(line) for line in self.stack.condense("artifacts", "--json", short).stdout.splitlines()]
        self.assertEqual(artifacts[0]["verdict"], "PASSED")
        self.assertIn("PASSED", self.stack.condense("report", short).stdout)
        folder = self.stack.download(name) / PROFILE
        self.assertTrue((folder / "model.onnx").exists())


class EngineKilledTest(StackTest):
    def test_the_job_goes_on_from_a_checkpoint_to_the_same_file(self):
        worker = self.stack.add_worker("w1", "--checkpoint-interval", "0.3")
        recipe = long_recipe()
        wanted = self.reference_digest(recipe)
        name = self.stack.submit(recipe)["name"]
        self.stack.wait_training(name)
        self.stack.wait_checkpoint(name)
        os.kill(working_engine(worker), signal.SIGKILL)
        job = self.stack.wait_state(name, "SUCCEEDED", "FAILED")
        self.assertEqual(job["state"], "SUCCEEDED", job.get("error"))
        first, second = job["attempts"]
        self.assertEqual((first["outcome"], first["reason"]), ("FAILED", "ENGINE_DIED"))
        self.assertTrue(second["resumed_from_checkpoint"].startswith("sha256:"))
        self.assertGreater(int(second["resumed_from_step"]), 0)
        self.assertEqual(model_digest(job), wanted)
        self.check_sequence(self.stack.events(name))


class WorkerKilledTest(StackTest):
    lease = 2

    def test_another_worker_takes_the_job_over_after_the_lease(self):
        first = self.stack.add_worker("w1", "--checkpoint-interval", "0.3")
        recipe = long_recipe()
        wanted = self.reference_digest(recipe)
        name = self.stack.submit(recipe)["name"]
        self.stack.wait_training(name)
        self.stack.wait_checkpoint(name)
        engines = children(first.pid)
        self.stack.add_worker("w2", "--checkpoint-interval", "0.3")
        first.stop(signal.SIGKILL)
        wait_for("engines end with their agent", lambda: not any(os.path.exists(f"/proc/{e}/fd/3") for e in engines), 10)
        job = self.stack.wait_state(name, "SUCCEEDED", "FAILED")
        self.assertEqual(job["state"], "SUCCEEDED", job.get("error"))
        lost, taken = job["attempts"]
        self.assertEqual((lost["worker"], lost["outcome"]), ("w1", "LEASE_EXPIRED"))
        self.assertEqual((taken["worker"], taken["outcome"]), ("w2", "SUCCEEDED"))
        self.assertGreater(int(taken["resumed_from_step"]), 0)
        self.assertEqual(model_digest(job), wanted)
        self.check_sequence(self.stack.events(name))


class ServerRestartTest(StackTest):
    def test_a_watcher_sees_no_gap(self):
        self.stack.add_worker("w1", "--checkpoint-interval", "0.3")
        name = self.stack.submit(long_recipe())["name"]
        address = self.stack.server.address["grpc"]
        with subprocess.Popen([str(BIN / "condense"), "--server", address, "watch", "--json", name],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
            self.stack.wait_training(name)
            self.assertEqual(self.stack.server.stop(), 0)
            time.sleep(0.5)
            self.stack.start_server(address)
            output, errors = watcher.communicate(timeout=120)
            self.assertEqual(watcher.returncode, 0, errors + self.stack.server.log.read_text())
        events = [json.loads(line) for line in output.splitlines()]
        self.check_sequence([e for e in events if "sequence" in e])
        job = self.stack.job(name)
        self.assertEqual(job["state"], "SUCCEEDED")
        self.assertEqual(len(job["attempts"]), 1, "the job goes on while the server is away")


class StopTest(StackTest):
    def test_cancel_ends_the_engine(self):
        worker = self.stack.add_worker("w1", "--warm-engines", "0")
        name = self.stack.submit(long_recipe(2000))["name"]
        self.stack.wait_training(name)
        engine = working_engine(worker)
        start = time.monotonic()
        self.stack.condense("cancel", name)
        self.stack.wait_state(name, "CANCELLED")
        wait_for("the engine is gone", lambda: not os.path.exists(f"/proc/{engine}"), 10)
        self.assertLess(time.monotonic() - start, 10)
        done = self.stack.condense("watch", "--json", name, check=False)
        self.assertEqual(done.returncode, 5)

    def test_a_worker_that_is_stopped_gives_its_job_back(self):
        first = self.stack.add_worker("w1", "--checkpoint-interval", "600")
        name = self.stack.submit(long_recipe())["name"]
        self.stack.wait_training(name, 20)
        self.assertEqual(first.stop(), 0)
        job = self.stack.job(name)
        self.assertEqual(job["state"], "QUEUED")
        self.assertEqual(job["attempts"][0]["outcome"], "RELEASED")
        self.stack.add_worker("w2")
        job = self.stack.wait_state(name, "SUCCEEDED", "FAILED")
        self.assertEqual(job["state"], "SUCCEEDED")
        self.assertGreaterEqual(int(job["attempts"][1]["resumed_from_step"]), 20)

    def test_a_job_that_no_worker_fits_says_so(self):
        self.stack.add_worker("w1")
        name = self.stack.submit((DIGITS / "ptq.yaml").read_text(), "--device", "cuda")["name"]
        job = wait_for("a reason", lambda: (lambda j: j if j.get("pending_reason") == "NO_MATCHING_WORKER" else None)(
            self.stack.job(name)))
        self.assertEqual(job["state"], "QUEUED")


class PrometheusTest(StackTest):
    def test_a_real_prometheus_sees_values_move_with_a_job(self):
        worker = self.stack.add_worker("w1")
        folder = self.stack.folder
        targets = [self.stack.server.address["metrics"], worker.address["metrics"]]
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [{"job_name": "condense", "static_configs": [{"targets": targets}]}]}))
        port = free_port()
        with open(folder / "prometheus.log", "w") as log:
            prometheus = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
                 f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        self.addCleanup(lambda: (prometheus.terminate(), prometheus.wait()))
        ask = lambda query: prometheus_value(port, query)  # noqa: E731
        wait_for("both are scraped", lambda: ask("sum(up)") == 2)
        self.assertEqual(ask("sum(condense_jobs_finished_total) or vector(0)"), 0)
        self.assertEqual(ask("condense_worker_slots"), 1)
        self.assertEqual(ask("sum(condense_engine_samples_total)"), 0)
        name = self.stack.submit((DIGITS / "prune_distil_qat.yaml").read_text())["name"]
        wait_for("a job runs", lambda: ask('condense_jobs{state="RUNNING"}') == 1)
        self.stack.wait_state(name, "SUCCEEDED")
        wait_for("it is counted", lambda: ask('sum(condense_jobs_finished_total{outcome="SUCCEEDED"})') == 1)
        wait_for("it runs no more", lambda: ask('condense_jobs{state="RUNNING"}') == 0)
        self.assertGreater(ask("sum(condense_engine_samples_total)"), 1000)
        self.assertGreater(ask("sum(condense_engine_step_duration_seconds_count)"), 20)
        self.assertGreater(ask("sum(condense_engine_step_duration_seconds_sum)"), 0)
        self.assertGreater(ask('sum(condense_blob_bytes_total{direction="in"})'), 50000)
        self.assertEqual(ask(f'sum(condense_artifacts_total{{profile="{PROFILE}",verdict="PASSED"}})'), 1)
        self.assertEqual(ask('sum(condense_job_attempts_total{outcome="SUCCEEDED"})'), 1)
        self.assertGreater(ask('condense_job_phase_duration_seconds_count{phase="DISTILLING"}'), 0)


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def prometheus_value(port, query):
    """The single value of a query; None when there is none yet."""
    from urllib.error import URLError
    from urllib.parse import quote
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={quote(query)}", timeout=5) as reply:
            result = json.load(reply)["data"]["result"]
    except (URLError, OSError):
        return None
    return float(result[0]["value"][1]) if result else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
