"""SODA: self-supervised image encoders by bottleneck diffusion (Hudson et al., CVPR 2024), as software that people can use."""

__version__ = "0.1.0"
