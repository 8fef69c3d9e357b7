"""``python -m sample_project``."""

from sample_project.run import main

if __name__ == "__main__":
    main(prog_name="python -m sample_project")
