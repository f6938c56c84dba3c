"""``python -m minicnn``: see `minicnn.command_line`."""

from minicnn.command_line.program import main

if __name__ == "__main__":
    raise SystemExit(main())
