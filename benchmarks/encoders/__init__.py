"""Ours beside other ways to get an encoder of the same shape, at equal processor time; `make bench ARGS="--only encoders"`."""
