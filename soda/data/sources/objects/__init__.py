"""Sources of objects seen by cameras: `furniture` and `random_objects`, meshes that preparation draws."""
