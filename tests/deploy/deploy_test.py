#!/usr/bin/env python3
"""Checks deploy/ and examples/pipeline/ without a daemon or a cluster.

Usage: deploy_test.py CHECK SOURCE_DIR BINARY_DIR
Exits 0 when the check holds, 1 when not, 77 when this machine lacks what it
needs (the reason is printed).
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
  import yaml
except ImportError:
  print("skipped: python3-yaml is not installed")
  sys.exit(77)

SKIPPED = 77


class Skip(Exception):
  """This machine cannot run the check."""


def need(program):
  if shutil.which(program) is None:
    raise Skip(f"{program} is not installed")


def run(*command):
  """Standard output; an assertion with both streams when it fails."""
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
  return done.stdout


def read(*path):
  with open(os.path.join(*path), encoding="utf-8") as file:
    return file.read()


def documents(*path):
  return [d for d in yaml.safe_load_all(read(*path)) if d is not None]


def files(folder, *endings):
  for parent, _, names in sorted(os.walk(folder)):
    for name in sorted(names):
      if name.endswith(endings):
        yield os.path.join(parent, name)


# --- Prometheus and Grafana --------------------------------------------------


def dashboards(source):
  return [json.loads(read(f))
          for f in files(os.path.join(source, "deploy/grafana/dashboards"), ".json")]


def queries(source):
  """Every query of a panel, as plain PromQL."""
  for dashboard in dashboards(source):
    for panel in dashboard["panels"]:
      for target in panel.get("targets", []):
        yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def check_prometheus(source, _):
  need("promtool")
  folder = os.path.join(source, "deploy/prometheus")
  run("promtool", "check", "config", os.path.join(folder, "prometheus.yml"))
  run("promtool", "check", "rules", os.path.join(folder, "alerts.yml"))
  run("promtool", "test", "rules", os.path.join(folder, "alerts_test.yml"))
  rules = documents(folder, "alerts.yml")[0]["groups"][0]["rules"]
  tested = {case["alertname"]
            for test in documents(folder, "alerts_test.yml")[0]["tests"]
            for case in test["alert_rule_test"] if case.get("exp_alerts")}
  names = {rule["alert"] for rule in rules}
  assert names == tested, f"alerts that no test fires: {names - tested}"
  for rule in rules:
    assert rule["labels"]["severity"] in ("critical", "warning", "info"), rule
    assert {"summary", "description"} <= rule["annotations"].keys(), rule


def check_dashboard(source, _):
  need("promtool")
  sources = documents(source, "deploy/grafana/provisioning/datasources/prometheus.yaml")
  uids = {d["uid"] for d in sources[0]["datasources"]}
  for dashboard in dashboards(source):
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)), "panels share an id"
    for panel in dashboard["panels"]:
      if panel["type"] == "row":
        continue
      assert panel["targets"], f"panel '{panel['title']}' asks nothing"
      assert panel["datasource"]["uid"] in uids, panel["title"]
  rules = [{"record": f"panel:{i}", "expr": expr}
           for i, (_, expr) in enumerate(queries(source))]
  assert len(rules) > 10
  with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
    yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, file)
    file.flush()
    run("promtool", "check", "rules", file.name)


def check_metrics(source, _):
  """What panels and alerts name is what the binaries declare."""
  declared = {}
  for part, name in (("server", "server/metrics.cc"), ("worker", "workers/agent/metrics.cc")):
    there = os.path.exists(os.path.join(source, name))
    declared[part] = set(
        re.findall(r'"(condense_[a-z0-9_]+)"', read(source, name))) if there else None
  named = {}
  for title, expr in queries(source):
    for metric in re.findall(r"condense_[a-z0-9_]+", expr):
      named[metric] = f"panel '{title}'"
  for rule in documents(source, "deploy/prometheus/alerts.yml")[0]["groups"][0]["rules"]:
    for metric in re.findall(r"condense_[a-z0-9_]+", rule["expr"]):
      named[metric] = f"alert {rule['alert']}"
  shown = set()
  for metric, where in sorted(named.items()):
    # Those of the engine and the agent are on the worker, all others on the server.
    part = "worker" if re.match("condense_(engine|worker)_", metric) else "server"
    base = re.sub(r"_(bucket|sum|count)$", "", metric)
    shown |= {metric, base}
    if declared[part] is not None:
      assert {metric, base} & declared[part], f"{where} names {metric}, which no {part} has"
  for part, names in declared.items():
    if names is None:
      raise Skip(f"the metrics of the {part} are not there")
    print(f"declared by the {part}, shown nowhere:", ", ".join(sorted(names - shown)) or "none")


# --- Images ------------------------------------------------------------------


def dockerfiles(source):
  return list(files(os.path.join(source, "deploy/docker"), "Dockerfile"))


def instructions(path):
  """(INSTRUCTION, rest) with continued lines joined, without comments."""
  text = "\n".join(l for l in read(path).split("\n") if not l.startswith("#"))
  for line in text.replace("\\\n", " ").split("\n"):
    if line.strip():
      word, _, rest = line.strip().partition(" ")
      yield word, rest.strip()


def check_docker(source, _):
  assert len(dockerfiles(source)) == 3
  for path in dockerfiles(source):
    steps = list(instructions(path))
    words = [word for word, _ in steps]
    assert words.count("FROM") >= 2, f"{path} has one stage"
    last = len(words) - 1 - words[::-1].index("FROM")
    final = steps[last:]
    users = [rest for word, rest in final if word == "USER"]
    assert users == ["65532:65532"], f"{path} runs as {users}"
    for word, rest in final:
      assert word != "ADD", f"{path} adds to its last stage"
      if word in ("ENTRYPOINT", "CMD"):
        json.loads(rest)
      if word == "COPY" and not rest.startswith("--from="):
        for name in rest.split()[:-1]:
          assert os.path.exists(os.path.join(source, name)), f"{path} copies {name}"
    for word, rest in steps:
      for name in re.findall(r"(?:^|\s)((?:scripts|deploy)/[\w./-]+)", rest) if word == "RUN" else []:
        assert os.access(os.path.join(source, name), os.X_OK), f"{path} runs {name}"


def check_compose(source, _):
  folder = os.path.join(source, "deploy/docker")
  compose = documents(folder, "docker-compose.yaml")[0]
  assert {"server", "worker", "prometheus", "grafana"} <= compose["services"].keys()
  for name, service in compose["services"].items():
    build = service.get("build")
    if build:
      context = os.path.normpath(os.path.join(folder, build["context"]))
      assert os.path.exists(os.path.join(context, build["dockerfile"])), name
    for volume in service.get("volumes", []):
      place = volume.split(":")[0]
      if place.startswith("."):
        assert os.path.isdir(os.path.join(folder, place)), f"{name} mounts {place}"
      else:
        assert place in compose["volumes"], f"{name} mounts {place}"
    for port in service.get("ports", []):
      assert port.startswith("127.0.0.1:"), f"{name} listens on every address"


def check_yaml(source, _):
  count = 0
  for folder in ("deploy", "examples/pipeline"):
    for path in files(os.path.join(source, folder), ".yaml", ".yml"):
      assert documents(path), f"{path} is empty"
      count += 1
  assert count >= 10
  workflow = documents(source, "examples/pipeline/argo-workflow.yaml")[0]
  templates = {t["name"] for t in workflow["spec"]["templates"]}
  assert workflow["spec"]["entrypoint"] in templates
  named = {t for t in re.findall(r"template: (\w+)", read(source, "examples/pipeline/argo-workflow.yaml"))}
  assert named <= templates, named - templates


# Flags in images and manifests, and the sources that declare them.
def flags_declared(source, binary):
  main = {"condense-server": "server/main.cc", "condense-worker": "workers/agent/main.cc",
          "condense": "client/cli/app.cc"}[binary]
  if not os.path.exists(os.path.join(source, main)):
    return None
  return set(re.findall(r'"(--[a-z-]+)"', read(source, main)))


def check_flags(source, _):
  used = {"condense-server": set(), "condense-worker": set(), "condense": set()}
  for path in dockerfiles(source):
    binary = "condense-server" if path.endswith("/server.Dockerfile") else "condense-worker"
    for word, rest in instructions(path):
      if word in ("CMD", "ENTRYPOINT"):
        used[binary] |= set(re.findall(r"--[a-z][a-z-]+", rest))
  for path in files(os.path.join(source, "deploy/kubernetes"), ".yaml"):
    for document in documents(path):
      if document.get("kind") not in ("Deployment", "StatefulSet"):
        continue
      for container in document["spec"]["template"]["spec"]["containers"]:
        used["condense-" + container["name"]] |= {
            a.split("=")[0] for a in container.get("args", [])}
  workflow = documents(source, "examples/pipeline/argo-workflow.yaml")[0]
  for template in workflow["spec"]["templates"]:
    if template["name"] == "compress":
      used["condense"] |= {a.split("=")[0] for a in template["container"]["args"]
                           if a.startswith("--")}
  unknown_binaries = []
  for binary, flags in used.items():
    assert flags, binary
    declared = flags_declared(source, binary)
    if declared is None:
      unknown_binaries.append(binary)
      continue
    assert flags <= declared, f"{binary} has no {flags - declared}"
  if unknown_binaries:
    raise Skip(f"the flags of {unknown_binaries} are not there to compare with")


def owner(path):
  """The Debian package of a file; of a merged /usr it may be listed without /usr."""
  for name in (path, path.removeprefix("/usr")):
    found = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True).stdout
    if found:
      return found.split(":")[0]
  return None


def check_packages(source, binary):
  """The runtime packages of the images hold every library that is linked."""
  need("dpkg")
  need("readelf")
  if "bookworm" not in read("/etc/os-release"):
    raise Skip("this is not Debian 12, whose packages the images name")
  images = {"server.Dockerfile": ["condense", "condense-server"],
            "worker.Dockerfile": ["condense", "condense-worker", "condense-engine"]}
  base = {"libc6", "libstdc++6", "libgcc-s1"}
  unbuilt = []
  for image, names in images.items():
    path = os.path.join(source, "deploy/docker", image)
    steps = list(instructions(path))
    installed = set(re.findall(r"[a-z0-9][a-z0-9+.-]+", [rest for word, rest in steps
                                                          if word == "RUN"][-1])) | base
    for name in names:
      file = os.path.join(binary, "bin", name)
      if not os.path.exists(file):
        unbuilt.append(name)
        continue
      needed = re.findall(r"NEEDED.*\[(.+)\]", run("readelf", "-d", file))
      found = run("ldd", file)
      for library in needed:
        where = re.search(re.escape(library) + r" => (\S+)", found)
        if where is None:
          continue  # The dynamic loader itself.
        package = owner(os.path.realpath(where.group(1)))
        if package is None:
          raise Skip(f"{library} is not from a package")
        assert package in installed, f"{image} lacks {package}, which {name} needs ({library})"
  if unbuilt:
    raise Skip(f"not built, so not looked at: {' '.join(sorted(set(unbuilt)))}")


# --- Kubernetes --------------------------------------------------------------


def check_kubernetes(source, _):
  need("kubectl")
  for name in ("base", "overlays/gpu"):
    folder = os.path.join(source, "deploy/kubernetes", name)
    objects = [d for d in yaml.safe_load_all(run("kubectl", "kustomize", folder)) if d]
    by_name = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    check_pods(by_name)
    worker = by_name["Deployment", "condense-worker"]["spec"]["template"]["spec"]["containers"][0]
    gpus = worker["resources"]["limits"].get("nvidia.com/gpu")
    device = [a for a in worker["args"] if a.startswith("--device=")]
    if name == "base":
      assert gpus is None and device == ["--device=cpu"]
    else:
      assert gpus == 1 and device == ["--device=cuda:0"]
      assert worker["image"].startswith("condense-worker-cuda:")
  store = by_name["StatefulSet", "condense-server"]["spec"]
  assert store["replicas"] == 1 and store["volumeClaimTemplates"]


def check_pods(by_name):
  for kind, name in (("StatefulSet", "condense-server"), ("Deployment", "condense-worker")):
    spec = by_name[kind, name]["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    grace = [int(a.split("=")[1]) for a in container["args"] if a.startswith("--grace=")]
    assert pod["terminationGracePeriodSeconds"] > grace[0], name
    assert pod["securityContext"]["runAsNonRoot"], name
    assert container["securityContext"]["readOnlyRootFilesystem"], name
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"], name
    assert "condense" in str(container["readinessProbe"]["exec"]), name
    mounted = {m["name"] for m in container["volumeMounts"]}
    volumes = {v["name"] for v in pod.get("volumes", [])}
    volumes |= {v["metadata"]["name"] for v in spec.get("volumeClaimTemplates", [])}
    assert mounted == volumes, f"{name}: {mounted ^ volumes}"
    service = by_name["Service", name]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items(), name
    ports = {p["name"] for p in container["ports"]}
    assert {p["targetPort"] for p in service["ports"]} <= ports, name


CHECKS = {"prometheus": check_prometheus, "dashboard": check_dashboard, "metrics": check_metrics,
          "docker": check_docker, "compose": check_compose, "yaml": check_yaml,
          "flags": check_flags, "packages": check_packages, "kubernetes": check_kubernetes}


def main():
  name, source, binary = sys.argv[1:4]
  try:
    CHECKS[name](source, binary)
  except Skip as skip:
    print(f"skipped: {skip}")
    return SKIPPED
  except AssertionError as error:
    print(f"{name}: {error}")
    return 1
  print(f"{name}: good")
  return 0


if __name__ == "__main__":
  sys.exit(main())
