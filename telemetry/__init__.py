"""Tracing, metrics and the root of the errors: the lowest floor of Brama."""

from .errors import BramaError, ConfigError, unknown

__all__ = ["BramaError", "ConfigError", "unknown"]
