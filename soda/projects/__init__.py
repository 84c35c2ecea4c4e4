"""Projects of one's own: a folder with settings, stages and history, which uses the installed package."""

from soda.common.errors import SodaError


class ProjectError(SodaError, RuntimeError):
    """A folder that cannot become a project, or is none."""
