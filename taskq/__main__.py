"""``python -m taskq``: the command line."""

from taskq.cli import main

if __name__ == "__main__":
    main(prog_name="python -m taskq")
