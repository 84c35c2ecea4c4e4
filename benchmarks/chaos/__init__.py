"""Kills and other misfortunes on micro runs of the whole pipeline: `make chaos`.

Every round starts from a copy of a project in which the stages before one have run, disturbs what runs there, and then gives the
documented step alone: the same command again. What comes out is held to an undisturbed run, file by file.
"""
