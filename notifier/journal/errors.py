"""What can go wrong with the file of a journal. None of it is raised into a guarded call.

BramaError
└── JournalError            the file cannot be read or written now
    ├── JournalGoneError    it was deleted or replaced while it was open
    ├── JournalDamagedError it is an SQLite file that is not sound
    └── JournalForeignError something else has made it, or a later release
"""

from __future__ import annotations

from brama.telemetry import BramaError

__all__ = ["JournalDamagedError", "JournalError", "JournalForeignError", "JournalGoneError"]


class JournalError(BramaError):
    """The file of the journal cannot be read or written now; the text says why."""


class JournalGoneError(JournalError):
    """The file was deleted or replaced while it was open; a new one is begun."""


class JournalDamagedError(JournalError):
    """The file is no sound journal; it is set aside, and a new one is begun."""


class JournalForeignError(JournalError):
    """Something else has made the file, or a later release of Brama: it is left alone."""
