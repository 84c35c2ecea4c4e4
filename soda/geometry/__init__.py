"""Cameras and the rays through their pixels."""
