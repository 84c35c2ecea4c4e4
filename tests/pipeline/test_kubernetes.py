"""The template of a work pool on Kubernetes: what Prefect's worker makes of it is what a cluster takes. None was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import jsonschema
import pytest
import yaml
from prefect.server.schemas.actions import WorkPoolCreate
from prefect.utilities.templating import apply_values, find_placeholders

from tests.support.scratch_project import PROJECT

TEMPLATE: dict[str, Any] = json.loads((PROJECT / "deploy/kubernetes/work-pool.json").read_text())
CONFIGURATION: dict[str, Any] = json.loads((PROJECT / "tests/support/kubernetes_worker.json").read_text())
"""What prefect-kubernetes 0.8.0 says of its job's configuration: `KubernetesWorkerJobConfiguration.model_json_schema()`."""
PROPERTIES = TEMPLATE["variables"]["properties"]
DEFAULTS = {name: about["default"] for name, about in PROPERTIES.items()}


def _rendered(**chosen: Any) -> dict[str, Any]:
    """The configuration of a job with these variables, the others by default."""
    jsonschema.validate(chosen, TEMPLATE["variables"])
    return dict(apply_values(TEMPLATE["job_configuration"], {**DEFAULTS, **chosen}))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, str):
        yield value


def test_prefects_own_check_takes_the_template() -> None:
    WorkPoolCreate(name="kubernetes", type="kubernetes", base_job_template=TEMPLATE)
    asked = {each.name for each in find_placeholders(TEMPLATE["job_configuration"])}
    assert asked == set(PROPERTIES)
    missing = {**TEMPLATE, "variables": {**TEMPLATE["variables"], "properties": {}}}
    with pytest.raises(ValueError, match="claim"):
        WorkPoolCreate(name="kubernetes", type="kubernetes", base_job_template=missing)


def test_the_variables_are_a_schema_that_its_defaults_satisfy() -> None:
    jsonschema.Draft202012Validator.check_schema(TEMPLATE["variables"])
    jsonschema.validate(DEFAULTS, TEMPLATE["variables"])
    assert all(about["description"] and about["title"] for about in PROPERTIES.values())
    for wrong in ({"user": 0}, {"project": "soda"}, {"env": {"A": "b"}}, {"command": "sh"}, {"memory_limit": 8}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, TEMPLATE["variables"])
    deployed = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["definitions"]["workspace"]["job_variables"]
    jsonschema.validate(deployed, TEMPLATE["variables"])  # a deployment may be moved to this pool as it is


def test_a_job_is_what_the_worker_reads() -> None:
    rendered = _rendered(cpu_limit="16", claim="other", user=1234)
    jsonschema.validate(rendered, CONFIGURATION)
    assert set(rendered) <= set(CONFIGURATION["properties"])
    assert not [text for text in _strings(rendered) if "{{" in text]
    pod = rendered["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "prefect-job" and "args" not in container  # the worker's own: a run is a flow of the project
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"cpu": "16", "memory": "8Gi"},
    }
    assert pod["securityContext"]["runAsUser"] == 1234 and pod["securityContext"]["runAsNonRoot"]
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "other"}
    assert container["workingDir"] == container["volumeMounts"][0]["mountPath"] == "/soda"


def test_secrets_are_named_and_not_written_down() -> None:
    container = _rendered()["job_manifest"]["spec"]["template"]["spec"]["containers"][0]
    secret = [each for each in container["env"] if re.search("AUTH|KEY|TOKEN|PASSWORD|SECRET", each["name"])]
    assert len(secret) == 1 and all(set(each) == {"name", "valueFrom"} for each in secret)
    assert container["envFrom"] == [{"secretRef": {"name": "soda-remote", "optional": True}}]


@pytest.mark.skipif(find_spec("prefect_kubernetes") is None, reason="prefect-kubernetes is not installed")
def test_the_worker_itself_takes_it() -> None:
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    made = KubernetesWorkerJobConfiguration(**_rendered())
    assert json.loads(json.dumps(made.model_json_schema())) == CONFIGURATION


@pytest.mark.skipif(find_spec("kubernetes_validate") is None, reason="kubernetes-validate is not installed")
def test_a_cluster_takes_the_job() -> None:
    import kubernetes_validate

    manifest = _rendered()["job_manifest"]
    for key in ("parallelism", "completions"):  # the worker wants them here, too, and a cluster passes over them there
        assert manifest["spec"]["template"]["spec"].pop(key) == manifest["spec"][key] == 1
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
