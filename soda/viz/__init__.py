"""Everything that is drawn to be looked at: sheets and grids of images, charts, animations."""
