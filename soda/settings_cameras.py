"""Settings of models that are told where the views were seen from."""

from __future__ import annotations

from dataclasses import dataclass

from soda.settings_checks import check, share


@dataclass(frozen=True)
class CamerasConfig:
    """How encoder and denoiser are told of cameras. The defaults are those of models trained before there were any."""

    rays: bool = False  # a map of rays beside the picture, at the input of both networks
    octaves: int = 4  # of the sinusoidal encoding of rays and poses; 0: the numbers as they are
    rgb_channels: int = 16  # of the linear map of a picture's channels that the ray map is joined with
    pose: bool = False  # the target's camera as a whole, too, beside the time embedding: rays alone are slow to be used
    source_drop: float = 0.1  # probability that the source's camera is masked in training (not stated in the paper)
    target_drop: float = 0.1  # and the target's, independently
    # Levels of the U-Net that attend to the feature maps of the source views; none: all that it sees of them is their mean z.
    view_attention: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check(0 <= self.octaves <= 12, "model.cameras.octaves", self.octaves, "0 to 12")
        check(1 <= self.rgb_channels <= 512, "model.cameras.rgb_channels", self.rgb_channels, "1 to 512")
        check(self.rays or not self.pose, "model.cameras.pose", self.pose, "false where model.cameras.rays is false")
        check(
            self.rays or not self.view_attention,
            "model.cameras.view_attention",
            self.view_attention,
            "empty where model.cameras.rays is false",
        )
        for key in ("source_drop", "target_drop"):
            share(f"model.cameras.{key}", getattr(self, key))


NO_CAMERAS = CamerasConfig()
