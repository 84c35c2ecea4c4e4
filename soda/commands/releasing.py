"""`soda release`, `rollback`, `releases`, `verify`, `track` and `sbom`: an encoder goes out, and comes back."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda import layout as at

if TYPE_CHECKING:
    from soda.release.bundle import Candidate

KEY = Path(".release/signing.key")


def add_commands(commands: Any) -> None:
    making = commands.add_parser("release", help="release the encoder of the finished run, if it is better than the one in use")
    making.add_argument("--part", choices=("major", "minor", "patch"), default="minor", help="of the version that grows (minor)")
    making.add_argument("--key", type=Path, help=f"that signs; made when it is missing ({KEY} of the project)")
    making.add_argument(
        "--other-data", action="store_true", help="also where the release in use is of another data set; nothing is compared then"
    )
    _add_places(making)
    making.set_defaults(action=_release)

    back = commands.add_parser("rollback", help="put the release before the one in use back in use")
    back.add_argument("--to", metavar="VERSION", help="this one instead, of any age")
    _add_places(back)
    back.set_defaults(action=_rollback)

    listing = commands.add_parser("releases", help="the releases, and which one is in use")
    _add_places(listing)
    listing.set_defaults(action=_list)

    verifying = commands.add_parser("verify", help="hold a release to its signature and its hashes")
    verifying.add_argument("folder", type=Path, metavar="RELEASE", help="a folder of releases/, e.g. releases/v1.0.0")
    verifying.add_argument("--key", type=Path, required=True, metavar="PUB", help="the public key, from a place that you trust")
    verifying.set_defaults(action=_verify)

    tracking = commands.add_parser("track", help="log a release in MLflow and register its encoder there")
    tracking.add_argument("folder", type=Path, metavar="RELEASE", help="a folder of releases/, e.g. releases/v1.0.0")
    tracking.add_argument("--uri", required=True, help="MLflow's tracking URI, e.g. http://127.0.0.1:5000 or sqlite:///mlflow.db")
    tracking.add_argument("--name", default="soda-encoder", help="of its experiment and of the registered model (soda-encoder)")
    tracking.set_defaults(action=_track)

    materials = commands.add_parser("sbom", help="what is installed here for soda, as CycloneDX")
    materials.add_argument("-o", "--output", type=Path, default=Path("sbom.cdx.json"))
    materials.set_defaults(action=_sbom)


def _add_places(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project", type=Path, default=Path(), help="whose Git gets the tags and whose releases/ this is (.)")


def _release(args: argparse.Namespace) -> None:
    from soda.release.bundle import judge, make, require_recorded
    from soda.release.gates import BOUNDS, read_bounds
    from soda.release.registry import assign, commit, register, tagged
    from soda.release.signing import make_key
    from soda.release.store import held, point_to

    root, project = Path(), args.project.resolve()
    releases, key = project / at.RELEASES, args.key or project / KEY
    with held(releases):
        require_recorded(root)
        candidate = _candidate(root)
        judged = judge(
            candidate,
            releases,
            read_bounds(root / BOUNDS),
            part=args.part,
            tagged=tuple(tagged(project)),
            other_data=args.other_data,
            score=lambda folder: _score(folder, root, str(candidate.about["data_version"])),
        )
        for gate in judged.gates:
            print(gate)
        public = make_key(key)
        folder = make(candidate, judged, releases, key)
        papers = {each.name: each.read_bytes() for each in sorted(folder.iterdir()) if each.suffix in (".md", ".json")}
        message = "\n".join([f"Release {judged.version}", "", *map(str, judged.gates)])
        register(project, judged.version, commit(project, root, judged.version, papers), message)
        assign(project, judged.version, f"{judged.version} in use")
        point_to(releases, judged.version)
    print(f"{folder}: released and in use; to verify it elsewhere: soda verify {folder} --key {public}")


def _candidate(root: Path) -> Candidate:
    """What the finished run of the working directory has to release, with its card."""
    from soda.release.bundle import Candidate
    from soda.report.card import card
    from soda.report.ship import finished_run

    run = finished_run(root)
    metrics = json.loads((root / at.METRICS).read_text(encoding="utf-8"))
    facts = run.told.files["encoder.onnx"]
    about: dict[str, Any] = {key: facts.get(key) for key in ("data_version", "code_version", "latent_dim", "image_size")}
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about |= {"dataset": run.told.config.dataset.name, "made": made}
    return Candidate(run.files, metrics, lambda version: card(replace(run.told, folder=f"{at.RELEASES}/{version}")), about)


def _score(folder: Path, root: Path, data_version: str) -> dict[str, Any]:
    """The figures of a released encoder on the data of the finished run. Raises ReleaseError when they are not here."""
    from soda.config import PARAMS_FILE, load
    from soda.data.dataset import PreparedData
    from soda.evaluation.rescored import rescored
    from soda.export.retrieval import choose_vectors
    from soda.release import ReleaseError
    from soda.runtime import Encoder

    data = PreparedData(root / at.PREPARED)
    if data.version != data_version:
        raise ReleaseError(
            f"{root / at.PREPARED}: not the data of this encoder, on which {folder.name} has to be measured again; "
            "run the pipeline to its end, or `dvc checkout`"
        )
    encoder = Encoder(folder / "encoder.onnx")
    print(f"{folder.name} is of other pictures of this data set: it is measured again on those of now")
    return {
        "probe": rescored(encoder, data, load(root / PARAMS_FILE).evaluate),
        "export": choose_vectors(encoder, data)[1],
    }


def _rollback(args: argparse.Namespace) -> None:
    from soda.release.registry import assign
    from soda.release.store import held, point_back

    project = args.project.resolve()
    with held(project / at.RELEASES):
        left, now = point_back(project / at.RELEASES, args.to)  # first: who follows has it at once
        assign(project, now, f"back from {left} to {now}")
    print(f"{now} is in use again, in place of {left}")


def _list(args: argparse.Namespace) -> None:
    from soda.release.store import facts_of, read_pointer, versions

    releases = args.project / at.RELEASES
    pointer = read_pointer(releases)
    for version in versions(releases):
        facts = facts_of(releases / version)
        notes = "in use" if version == pointer.version else "gone back from" if version in pointer.withdrawn else ""
        print("\t".join([version, facts.get("made", ""), facts.get("dataset", ""), notes]).rstrip())


def _verify(args: argparse.Namespace) -> None:
    from soda.release.signing import verify

    verify(args.folder, args.key)
    print(f"{args.folder}: signed by {args.key}, every file as it was")


def _track(args: argparse.Namespace) -> None:
    from soda.release.store import read_pointer
    from soda.release.tracker import ALIAS, track

    in_use = read_pointer(args.folder.parent).version == args.folder.name
    version = track(args.folder, args.uri, args.name, in_use=in_use)
    print(f"{args.folder}: version {version} of {args.name} in {args.uri}{f', with the alias {ALIAS}' if in_use else ''}")


def _sbom(args: argparse.Namespace) -> None:
    from soda.common.files import write_json
    from soda.release.sbom import bill

    made = bill()
    write_json(args.output, made)
    print(f"{args.output}: {len(made['components'])} packages")
