"""Meshes, and two ways to draw them: in NumPy alone, and on OpenGL without a screen."""
