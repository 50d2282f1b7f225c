"""The data of an event: a dict that all its readers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["Fields"]


class Fields(dict[str, Any]):
    """The data of an event: a dict that all its readers share, so nobody may change it."""

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Raise `TypeError`: it is shared."""
        raise TypeError(
            "the data of an event is shared and cannot be changed; copy it: dict(event.data)"
        )

    if not TYPE_CHECKING:  # every way to change a dict, refused alike; to checkers it is a dict
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return Fields, (dict(self),)
