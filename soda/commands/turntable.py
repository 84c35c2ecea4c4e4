"""`soda turntable`: an object turned round, drawn as cameras on a circle would see it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from soda.commands._options import add_drawing_options, open_model
from soda.common.errors import InputError


def add_commands(commands: Any) -> None:
    command = commands.add_parser(
        "turntable", help="turn an object round, from one picture of it or several (models with cameras)"
    )
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    command.add_argument(
        "--pose",
        action="append",
        default=[],
        metavar="AZIMUTH,ELEVATION[,DISTANCE]",
        help="from where each picture was taken, in degrees, once a picture and in their order (a negative one: --pose=-30,20); "
        "none: nobody knows",
    )
    command.add_argument("--frames", type=int, default=24, help="once round (24)")
    command.add_argument("--azimuth", type=float, default=0.0, help="of the first frame, degrees from +x towards +y (0)")
    command.add_argument("--elevation", type=float, default=20.0, help="of the camera, degrees (20)")
    command.add_argument("--distance", type=float, default=2.8, help="of the camera, in radii of the object (2.8)")
    command.add_argument("--field-of-view", type=float, default=45.0, help="of all cameras, degrees from side to side (45)")
    command.add_argument("--pose-guidance", type=float, default=1.0, help="weight of the camera that is drawn for (1 is none)")
    command.add_argument("--fps", type=float, default=12.0, help="frames a second of an animation (12)")
    add_drawing_options(command, ".gif or .webp for an animation, .png for a strip; by default PICTURE-turn.gif")
    command.set_defaults(action=_turntable)


def _turntable(args: argparse.Namespace) -> None:
    from soda.commands._outputs import FRAMES, save_frames, target_of
    from soda.geometry.cameras import camera, focal_length, orbit
    from soda.inference.novel_view import orbit_cameras
    from soda.viz.animation import require_fps

    require_fps(args.fps)
    model = open_model(args)
    target = target_of(args.output or Path(f"{args.pictures[0].stem}-turn.gif"), args.pictures, FRAMES)
    if not 1 <= args.field_of_view <= 150:
        raise InputError(f"--field-of-view: {args.field_of_view:g} is not possible; it must be 1 to 150 degrees")
    if len(args.pose) not in (0, len(args.pictures)):
        raise InputError(f"--pose: given {len(args.pose)} times for {len(args.pictures)} pictures; give one for each, or none")
    focal = focal_length(args.field_of_view)
    poses = [camera(orbit(*_parse_pose(text, args.distance)), focal) for text in args.pose] or None
    cameras = orbit_cameras(args.frames, azimuth=args.azimuth, elevation=args.elevation, distance=args.distance, focal=focal)
    frames = model.novel_view(args.pictures, poses, cameras, pose_guidance=args.pose_guidance, **args.drawing)
    save_frames(frames, target, args.fps)


def _parse_pose(text: str, distance: float) -> tuple[float, float, float]:
    """`--pose`: azimuth, elevation and distance, by default `distance`. Raises ValueError for anything else."""
    try:
        numbers = [float(part) for part in text.split(",")]
        azimuth, elevation, *rest = numbers
        (further,) = rest or [distance]
    except ValueError:
        raise InputError(
            f"--pose: {text!r} is not possible; it must be azimuth and elevation in degrees, e.g. 30,20 or 30,20,2.8"
        ) from None
    return azimuth, elevation, further
