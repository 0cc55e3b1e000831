"""Deploy files keep their promises, as far as can be seen without Docker and without a cluster."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.deployment import (
    find_dockerfile_faults,
    find_pod_faults,
    grace_needed_s,
    list_copied,
    read_dockerfile,
)
from tests.support.source import ROOT
from thinfer import __version__
from thinfer.serve.settings import ServeSettings

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
KUBERNETES = (ROOT / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8")
ROUTES = ("/livez", "/readyz")
PORT = ServeSettings().port


def pod_of(text: str) -> dict[str, Any]:
    (deployment,) = [item for item in yaml.safe_load_all(text) if item["kind"] == "Deployment"]
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def test_the_image_is_light_not_root_and_hears_signals() -> None:
    assert find_dockerfile_faults(DOCKERFILE) == []


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    copied = list_copied(DOCKERFILE)
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in ignore, path
    assert ignore[0] == "*"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("python:3.12-slim-bookworm AS wheels", "python AS wheels", "python: no fixed tag"),
        ("python:3.12-slim-bookworm AS wheels", "python:latest AS wheels", "no fixed tag"),
        ("USER 10001:10001", "USER root", "the user is not a number"),
        ("USER 10001:10001", "USER 0", "the user is not a number"),
        ("USER 10001:10001", "", "the user is not a number"),
        ("/wheels thinfer", "/wheels thinfer[compress]", "not needed"),
        ("/wheels thinfer", "/wheels thinfer torch", "not needed"),
        ("COPY src src", "ADD src src", "COPY is enough"),
        ('["thinfer", "serve"]', "thinfer serve", "keeps SIGTERM"),
        ("EXPOSE 8000", "RUN pip install thinfer", "the last stage runs"),
    ],
)
def test_a_bad_image_is_refused(old: str, new: str, fault: str) -> None:
    assert old in DOCKERFILE
    found = find_dockerfile_faults(DOCKERFILE.replace(old, new))
    assert any(fault in item for item in found), found


def test_one_stage_is_refused() -> None:
    text = 'FROM a:1\nUSER 5\nENTRYPOINT ["x"]\n'
    assert find_dockerfile_faults(text) == ["one stage only: the compiler stays in the image"]


def test_continued_lines_and_comments_are_read() -> None:
    text = "# FROM x\nfrom a:1 \\\n  AS b\nRUN c \\\n # no\n && d\n"
    assert read_dockerfile(text) == [("FROM", "a:1 AS b"), ("RUN", "c && d")]


def test_the_pod_is_bounded_not_root_and_probed_by_routes_that_exist() -> None:
    assert find_pod_faults(pod_of(KUBERNETES), routes=ROUTES, port=PORT) == []


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(pod: dict[str, Any]) -> None:
        place: Any = pod
        for name in path[:-1]:
            place = place[0][name] if isinstance(place, list) else place[name]
        place = place[0] if isinstance(place, list) else place
        del place[path[-1]]

    return change


def put(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(pod: dict[str, Any]) -> None:
        place: Any = pod
        for name in path[:-1]:
            place = place[0][name] if isinstance(place, list) else place[name]
        place = place[0] if isinstance(place, list) else place
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (drop("securityContext", "runAsNonRoot"), "may run as root"),
        (put(0, "securityContext", "runAsUser"), "may run as root"),
        (drop("securityContext", "seccompProfile"), "has no seccomp profile"),
        (drop("automountServiceAccountToken"), "holds a token"),
        (drop("containers", "securityContext", "readOnlyRootFilesystem"), "may write to its root"),
        (drop("containers", "securityContext", "allowPrivilegeEscalation"), "may gain rights"),
        (put(["NET_RAW"], "containers", "securityContext", "capabilities", "drop"), "keeps cap"),
        (drop("containers", "resources", "limits", "memory"), "has no limits"),
        (put("thinfer:latest", "containers", "image"), "image without a fixed tag"),
        (put(9, "containers", "ports", "containerPort"), "stands on another port"),
        (drop("containers", "startupProbe"), "startupProbe asks None"),
        (put("/health", "containers", "readinessProbe", "httpGet", "path"), "asks /health"),
        (put("/readyz", "containers", "livenessProbe", "httpGet", "path"), "merely busy"),
    ],
)
def test_a_bad_pod_is_refused(change: Callable[[dict[str, Any]], None], fault: str) -> None:
    pod = copy.deepcopy(pod_of(KUBERNETES))
    change(pod)
    found = find_pod_faults(pod, routes=ROUTES, port=PORT)
    assert any(fault in item for item in found), found


def test_the_pod_has_time_to_drain() -> None:
    pod, settings = pod_of(KUBERNETES), ServeSettings()
    needed = grace_needed_s(pod, notice_s=settings.drain_notice_s, drain_s=settings.drain_timeout_s)
    assert needed == 35.5
    assert pod["terminationGracePeriodSeconds"] > needed


def test_ports_selectors_and_versions_agree() -> None:
    documents = {item["kind"]: item for item in yaml.safe_load_all(KUBERNETES)}
    deployment, service = documents["Deployment"], documents["Service"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    assert documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    names = {port["name"] for port in pod_of(KUBERNETES)["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    for text in (DOCKERFILE, KUBERNETES):
        assert set(re.findall(r"thinfer:(\d[\w.]*)", text)) == {__version__}


def test_settings_named_in_deploy_files_exist() -> None:
    named = set(re.findall(r"THINFER_SERVE_([A-Z_]+)", DOCKERFILE + KUBERNETES))
    assert named
    assert {name.lower() for name in named} <= set(ServeSettings.model_fields)
