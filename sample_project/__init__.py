"""A small shop that hands its work to taskq: ``python -m sample_project``."""
