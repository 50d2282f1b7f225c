"""What the notifier raises.

BramaError
├── ConfigError           an unknown event, a wrong handler, … (also a ValueError)
└── SubscriptionClosed    an event was awaited from a stream that has ended
"""

from __future__ import annotations

from brama.telemetry import BramaError

__all__ = ["SubscriptionClosed", "TargetGone"]


class SubscriptionClosed(BramaError):
    """The stream has ended: it was closed, or its system was stopped."""


class TargetGone(Exception):
    """Whoever the events were for is no more; ends the subscription and reaches no user."""
