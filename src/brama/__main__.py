"""``python -m brama``: the command, where its script is not on the path."""

from .cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
