"""Telling what became of each of several jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import click

from taskq.cli.common import FAILED
from taskq.cli.output import clean, print_json


def tell(
    ids: Sequence[str],
    answers: Sequence[str],
    meaning: Mapping[str, str],
    *,
    fine: Collection[str],
    as_json: bool,
) -> None:
    """A line for each job; the exit code is 1 unless all answers are ``fine``.

    :param meaning: each answer in words.
    """
    if as_json:
        print_json(
            [
                {"id": id, "result": answer, "ok": answer in fine}
                for id, answer in zip(ids, answers, strict=True)
            ]
        )
    else:
        for id, answer in zip(ids, answers, strict=True):
            good = answer in fine
            text = click.style(meaning[answer], fg="green" if good else "red")
            click.echo(f"{clean(id)}  {text}", err=not good)
    if not all(answer in fine for answer in answers):
        click.get_current_context().exit(FAILED)
