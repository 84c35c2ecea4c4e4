"""A release in MLflow, where people have one: its figures as a run, its encoder in the model registry, by `mlflow.onnx`.

An extra that nothing else needs: pip install 'soda-encoder[mlflow]'. Releases are Git's and this folder's all the same; MLflow
has a copy to look at and to serve from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from soda.common.errors import NotInstalledError
from soda.release import ReleaseError
from soda.release.signing import verify_files
from soda.release.store import ENCODER, FACTS, facts_of, read_paper

NAME = "soda-encoder"  # of experiment and registered model, unless another is asked for
ALIAS = "prod"  # what MLflow calls the version in use, as the tags in Git do
_TAGS = ("dataset", "data_version", "code_version", "made")


def track(folder: Path, address: str, name: str = NAME, *, in_use: bool = True) -> str:
    """Log a release of releases/ as a run of MLflow and register its encoder. Returns the number of the model's version.

    Args:
        folder: of the release.
        address: MLflow's tracking URI: sqlite:///file.db, http://…; its registry is there, too.
        name: of MLflow's experiment and of the registered model.
        in_use: give the version the alias "prod".

    A release that is registered already is not registered again. Raises ReleaseError for one that is not whole, and where MLflow
    refuses; NotInstalledError without MLflow.
    """
    try:
        import mlflow
        import mlflow.onnx
        import onnx
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"MLflow is not installed ({error.name}): pip install 'soda-encoder[mlflow]'") from None
    verify_files(folder)
    facts, metrics = facts_of(folder), read_paper(folder / "metrics.json")
    version, digest = str(facts["version"]), str(facts["files"][ENCODER]["sha256"])
    try:
        client = mlflow.MlflowClient(address, address)
        if (known := _registered(client, name, digest)) is None:
            mlflow.set_tracking_uri(address)
            mlflow.set_registry_uri(address)
            mlflow.set_experiment(name)
            with mlflow.start_run(run_name=version):
                mlflow.set_tags({"release": version, "sha256": digest, **{key: facts[key] for key in _TAGS if facts.get(key)}})
                mlflow.log_metrics(dict(_numbers(metrics)))
                mlflow.log_text((folder / "README.md").read_text(encoding="utf-8"), "README.md")
                mlflow.log_text(json.dumps(facts, indent=2), FACTS)
                # Weights inside the file: a second one beside it is missed by browsers and by who copies it.
                logged = mlflow.onnx.log_model(onnx.load(folder / ENCODER), name="encoder", save_as_external_data=False)
            known = mlflow.register_model(logged.model_uri, name, tags={"release": version, "sha256": digest}).version
        if in_use:
            client.set_registered_model_alias(name, ALIAS, str(known))
    except MlflowException as error:
        raise ReleaseError(f"{address}: MLflow: {error}") from None
    return str(known)


def _registered(client: Any, name: str, digest: str) -> str | None:
    """The version of the registered model that is this encoder."""
    found = client.search_model_versions(f"name='{name}'")
    return next((each.version for each in found if each.tags.get("sha256") == digest), None)


def _numbers(metrics: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """The figures of metrics.json, as "part.name"."""
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{before}{key}", float(value)
