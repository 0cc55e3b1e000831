"""What deploy files must promise; each rule gives sentences about what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Instruction = tuple[str, str]
HEAVY = re.compile(r"\b(torch|transformers|onnx|nncf)\b|thinfer\[", re.IGNORECASE)


def read_dockerfile(text: str) -> list[Instruction]:
    """Give the instructions, continued lines joined, comments dropped."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(name.upper(), rest.strip()) for name, _, rest in found]


def find_dockerfile_faults(text: str) -> list[str]:
    """Give what a Dockerfile of the service does wrong."""
    steps = read_dockerfile(text)
    images = [rest.split()[0] for name, rest in steps if name == "FROM"]
    faults = [
        f"{image}: no fixed tag"
        for image in images
        if not re.search(r"(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$", image)
    ]
    starts = [place for place, (name, _) in enumerate(steps) if name == "FROM"]
    last = steps[starts[-1] :] if starts else []
    if len(starts) < 2:
        faults.append("one stage only: the compiler stays in the image")
    users = [rest for name, rest in last if name == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]):
        faults.append(f"the user is not a number other than root's: {users[-1:]}")
    faults += [f"{name} {rest}: not needed" for name, rest in steps if HEAVY.search(rest)]
    faults += [f"ADD {rest}: COPY is enough" for name, rest in steps if name == "ADD"]
    entry = [rest for name, rest in last if name == "ENTRYPOINT"]
    if not entry or not isinstance(_read_json(entry[-1]), list):
        faults.append("the entry point goes through a shell, which keeps SIGTERM to itself")
    if any(name == "RUN" for name, _ in last):
        faults.append("the last stage runs something")
    return faults


def list_copied(text: str) -> list[str]:
    """Give the paths that are copied from the repository."""
    copies = [rest for name, rest in read_dockerfile(text) if name == "COPY"]
    return [path for rest in copies if "--from" not in rest for path in rest.split()[:-1]]


def find_pod_faults(pod: Mapping[str, Any], *, routes: Iterable[str], port: int) -> list[str]:
    """Give what a pod of the service does wrong."""
    (container,) = pod["containers"]
    own, wide = container.get("securityContext", {}), pod.get("securityContext", {})
    rules = {
        "may run as root": wide.get("runAsNonRoot") is True and wide.get("runAsUser", 0) > 0,
        "may write to its root": own.get("readOnlyRootFilesystem") is True,
        "may gain rights": own.get("allowPrivilegeEscalation") is False,
        "keeps capabilities": own.get("capabilities", {}).get("drop") == ["ALL"],
        "has no seccomp profile": "seccompProfile" in wide,
        "holds a token": pod.get("automountServiceAccountToken") is False,
        "has no limits": {"cpu", "memory"} <= set(container.get("resources", {}).get("limits", {})),
        "image without a fixed tag": bool(re.search(r":(?!latest$)[\w.-]+$", container["image"])),
        "stands on another port": container["ports"][0]["containerPort"] == port,
    }
    return [name for name, good in rules.items() if not good] + list(
        _find_probe_faults(container, routes)
    )


def _find_probe_faults(container: Mapping[str, Any], routes: Iterable[str]) -> Iterator[str]:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        path = container.get(probe, {}).get("httpGet", {}).get("path")
        if path not in set(routes):
            yield f"{probe} asks {path}"
    if container.get("livenessProbe", {}).get("httpGet", {}).get("path") == "/readyz":
        yield "livenessProbe restarts what is merely busy"


def grace_needed_s(pod: Mapping[str, Any], *, notice_s: float, drain_s: float) -> float:
    """Give the seconds that a pod needs to stop in order: its sleep, then the service's drain."""
    (container,) = pod["containers"]
    values = {item["name"]: item["value"] for item in container.get("env", ())}
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    notice = float(values.get("THINFER_SERVE_DRAIN_NOTICE_S", notice_s))
    return float(sleep) + notice + float(values.get("THINFER_SERVE_DRAIN_TIMEOUT_S", drain_s))


def _read_json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
