"""The pages of the reference, made from the code."""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import Enum

import click

import taskq
import taskq.testing
from taskq import errors
from taskq.cli import main as command_line
from taskq.config import ENV_PREFIX, Config
from taskq.options import OPTIONS, defaults
from taskq.retry import Exponential

MADE = "<!-- Made from the code by docs/build.py. -->\n"

PLACES = {"app": "`TaskQ(defaults=…)`", "task": "`@task(…)`", "call": "`.using(…)`"}


# -- text ---------------------------------------------------------------------------------
_FIELD = re.compile(r"^:(param|raises|returns|ivar)\s*([^:]*):\s*(.*)$")
_ROLE = re.compile(r":(?:class|func|meth|mod|data):`~?([^`]+)`")


def markdown(docstring: str | None) -> str:
    """A docstring as Markdown."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    made: list[str] = []
    in_code = False
    for line in _parted(lines):
        if in_code and line and not line.startswith(" "):
            in_code = False
            made += ["```", ""]
        if in_code:
            made.append(line.removeprefix("    "))
            continue
        text = _ROLE.sub(r"`\1`", line).replace("``", "`")
        field = _FIELD.match(text.strip())
        if field:
            made += _field_lines(*field.groups(), first=not (made and made[-1].startswith("- ")))
        elif made and made[-1].startswith("- ") and line.startswith(" "):
            made[-1] += f" {text.strip()}"
        elif text.rstrip().endswith("::"):
            start = text.rstrip()[:-2].rstrip()
            made += [f"{start}:" if start else "", "", "```python"]
            in_code = True
        else:
            made.append(text)
    if in_code:
        while made and not made[-1].strip():
            made.pop()
        made.append("```")
    return "\n".join(_unblanked(made)).strip()


def _parted(lines: Iterable[str]) -> Iterable[str]:
    """A field at the end of a line on a line of its own."""
    for line in lines:
        text, mark, field = line.partition(". :raises ")
        yield from (f"{text}.", f":raises {field}") if mark else (line,)


def _field_lines(kind: str, name: str, text: str, *, first: bool) -> list[str]:
    head = {"returns": "Returns:", "raises": "Raises"}.get(kind, "")
    names = ", ".join(f"`{part.strip()}`" for part in name.split(",") if part.strip())
    label = " ".join(part for part in (head, names) if part)
    colon = "" if label.endswith(":") else ":"
    # One line may hold two fields: ":param a: … :param b: …".
    further = re.search(r"\s:(param|raises|returns)\s*([^:]*):\s*(.*)$", text)
    lines = [f"- {label}{colon} {text[: further.start()] if further else text}".rstrip()]
    if further:
        lines += _field_lines(*further.groups(), first=False)
    return ["", *lines] if first else lines


def _unblanked(lines: list[str]) -> list[str]:
    """Code blocks without blank lines at their ends."""
    made: list[str] = []
    for line in lines:
        if line == "```":
            while made and not made[-1].strip():
                made.pop()
        if not line.strip() and made and made[-1].startswith("```python"):
            continue
        made.append(line)
    return made


def first_sentence(docstring: str | None) -> str:
    text = markdown(docstring).partition("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=\.)\s", text)[0]


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {' | '.join(cell(one) for one in row)} |" for row in rows]
    return "\n".join(lines)


def span(seconds: float) -> str:
    """``1800 (30 minutes)``"""
    shown = f"`{seconds:g}`" if seconds != int(seconds) else f"`{int(seconds)}`"
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{shown} ({count} {unit}{'s' if count != 1 else ''})"
    return shown


# -- options ------------------------------------------------------------------------------
def default_text(name: str, value: object) -> str:
    if name == "name":
        return "the function's module and qualified name"
    if name in ("retry_on", "give_up_on"):
        if value == (BaseException,):
            return "every error"
        assert value == ()
        return "none"
    if isinstance(value, Exponential):
        most = timedelta(seconds=value.max) / timedelta(hours=1)
        return f"`Exponential(base={value.base:g}, max={value.max:g}, jitter={value.jitter:g})`" + (
            f": 1 s, 2 s, 4 s … up to {most:g} hours"
        )
    if value in ((), {}):
        return "none"
    return span(value) if isinstance(value, float) else f"`{value!r}`"


def options_page() -> str:
    given = defaults()
    parts = [
        MADE,
        "# Options\n",
        "What a task or a single call can say about its jobs. The app's defaults lie lowest, the "
        "decorator's options over them, those of a call on top; `tags` add up, and `headers` are "
        "merged. An unknown option, or a value that is none, raises `InvalidOption` where it was "
        "written.\n",
        "```python\n"
        'app = TaskQ(defaults={"max_retry": 5})           # for every task of this app\n\n\n'
        '@app.task(queue="mail", timeout=30)              # for this task\n'
        "def send_welcome(user_id: int) -> None: ...\n\n\n"
        "send_welcome.using(priority=10).delay(7)         # for this call\n"
        "```\n",
        table(
            ["Option", "Default", "For"],
            (
                (
                    f"[`{name}`](#{name})",
                    default_text(name, given[name]),
                    ", ".join(option.where),
                )
                for name, option in OPTIONS.items()
            ),
        ),
        "",
    ]
    for name, option in OPTIONS.items():
        where = ", ".join(PLACES[place] for place in option.where)
        parts += [
            f"## `{name}` {{ #{name} }}\n",
            f"{option.doc}\n",
            f"- Takes: {option.takes}",
            f"- Default: {default_text(name, given[name])}",
            f"- May stand in: {where}\n",
        ]
    return "\n".join(parts)


# -- settings -----------------------------------------------------------------------------
def settings_page() -> str:
    parts = [
        MADE,
        "# Settings\n",
        "What holds for a whole app. Each comes from a keyword argument of `TaskQ(…)`, else from "
        f"a variable in the environment that begins with `{ENV_PREFIX}`, else it has its default. "
        "A wrong value raises `ConfigError`, which says where it came from and what would be "
        "right. A variable that is nearly the name of a setting is refused too.\n",
        "```python\n"
        'app = TaskQ("redis://localhost:6379/0", keep_failed=90 * 86400, log_format="json")\n'
        "```\n",
        "The command line knows one more variable: `TASKQ_APP`, the app as `module:name`.\n",
    ]
    rows = []
    for spec in fields(Config):
        variable = f"{ENV_PREFIX}{spec.name.upper()}"
        rows.append((f"[`{spec.name}`](#{spec.name})", f"`{variable}`", _setting_default(spec)))
    parts += [table(["Setting", "Variable", "Default"], rows), ""]
    for spec in fields(Config):
        data = spec.metadata
        parts += [
            f"## `{spec.name}` {{ #{spec.name} }}\n",
            f"{data['doc']}\n",
            f"- Takes: {data['takes']}",
            f"- Default: {_setting_default(spec)}",
            f"- Variable: `{ENV_PREFIX}{spec.name.upper()}`",
            *(["- Secret: it is never shown in an error or a log."] if data["secret"] else []),
            "",
        ]
    return "\n".join(parts)


def _setting_default(spec: typing.Any) -> str:
    value = spec.default
    if value is None:
        return "not set"
    if spec.metadata["takes"] == "seconds":
        return span(float(value))
    return f"`{value!r}`" if isinstance(value, str | bool) else f"`{value:,}`".replace(",", "_")


# -- errors -------------------------------------------------------------------------------
def errors_page() -> str:
    parts = [
        MADE,
        "# Errors\n",
        "Every exception that taskq raises, and those that a task raises to steer its own job. "
        "All of them can be imported from `taskq`.\n",
    ]
    for root, head in (
        (errors.TaskQError, "What taskq raises"),
        (errors.Control, "What a task raises on purpose"),
        (errors.Interrupt, "What is raised into a running task"),
    ):
        parts += [f"## {head}\n", *_tree(root, 0), ""]
        for cls in _family(root):
            parts += [f"### `{cls.__name__}` {{ #{cls.__name__} }}\n"]
            bases = ", ".join(f"`{base.__name__}`" for base in cls.__bases__)
            parts += [f"A kind of {bases}.\n", f"{markdown(cls.__doc__)}\n"]
            if "__init__" in vars(cls) and issubclass(cls, errors.Control):
                parts += [f"```python\n{cls.__name__}{_signature(cls)}\n```\n"]
    return "\n".join(parts)


def _children(cls: type[BaseException]) -> list[type[BaseException]]:
    order = list(vars(errors).values())
    here: list[type[BaseException]] = [
        one for one in cls.__subclasses__() if one.__module__ == errors.__name__
    ]
    return sorted(here, key=order.index)


def _tree(cls: type[BaseException], depth: int) -> list[str]:
    lines = [f"{'    ' * depth}- [`{cls.__name__}`](#{cls.__name__})"]
    for child in _children(cls):
        lines += _tree(child, depth + 1)
    return lines


def _family(cls: type[BaseException]) -> list[type[BaseException]]:
    found = [cls]
    for child in _children(cls):
        found += _family(child)
    return found


# -- the public names ---------------------------------------------------------------------
GROUPS = (
    ("The app", ("TaskQ", "Config", "load_app", "current_app", "add_app_finder")),
    ("Tasks", ("task", "Task", "Unique", "Exponential", "Middleware", "Codec")),
    ("Jobs from outside", ("JobHandle", "JobInfo", "Failure", "State", "Inspector")),
    ("Figures", ("QueueStats", "WorkerInfo")),
    ("Jobs from inside", ("current_job", "JobContext")),
)


SEAM = {
    "taskq.app": {
        "options_of",
        "submit",
        "asubmit",
        "submit_many",
        "asubmit_many",
        "read_result",
        "read_call",
        "read_value",
        "async_store",
    },
    "taskq.failure": {"to_bytes", "from_bytes"},
}
"""Methods that taskq's own parts call of each other."""
MADE_BY_TASKQ = ("Task", "JobHandle", "JobContext", "Inspector", "JobInfo", "WorkerInfo")
"""Classes that nobody else makes objects of."""


def api_page() -> str:
    listed = {name for _, names in GROUPS for name in names}
    others = [
        name
        for name in taskq.__all__
        if name not in listed and not hasattr(errors, name) and name != "__version__"
    ]
    parts = [
        MADE,
        "# Python\n",
        "The names that `taskq` and `taskq.testing` export. The exceptions have "
        "[a page of their own](errors.md). Public are, besides, `taskq.log.JobFilter`, the stores "
        "in `taskq.stores`, the protocol in `taskq.store` with its values in `taskq.job`, and "
        "`taskq.testing.conformance`. Everything else may change without notice.\n",
    ]
    groups = [*GROUPS, ("Others", tuple(others))] if others else list(GROUPS)
    for head, names in groups:
        parts.append(f"## {head}\n")
        for name in names:
            parts.append(_described(taskq, name))
    parts += ["## For tests\n", "From `taskq.testing`; see [Testing](../testing.md).\n"]
    for name in taskq.testing.__all__:
        parts.append(_described(taskq.testing, name))
    return "\n".join(parts)


def _described(module: typing.Any, name: str) -> str:
    value = getattr(module, name)
    full = f"{module.__name__}.{name}"
    parts = [f"### `{full}` {{ #{full} }}\n"]
    if isinstance(value, type) and issubclass(value, Enum):
        values = ", ".join(f"`{one.name}` = `{one.value!r}`" for one in value)
        return "\n".join([*parts, f"{markdown(value.__doc__)}\n", f"{values}\n"])
    if isinstance(value, type):
        if value is not taskq.Config and name not in MADE_BY_TASKQ:
            parts.append(f"```python\nclass {name}{_signature(value)}\n```\n")
        parts.append(f"{markdown(value.__doc__)}\n")
        if value is taskq.Config:
            parts.append("Its fields are the [settings](settings.md).\n")
        elif is_dataclass(value):
            parts += _fields_of(value)
        return "\n".join([*parts, *_members(value)])
    if callable(value) and not typing.get_origin(value):
        parts.append(f"```python\n{name}{_signature(value)}\n```\n")
        parts.append(f"{markdown(value.__doc__)}\n")
    else:  # an alias of a type
        home = importlib.import_module("taskq.middleware")
        parts.append(f"```python\n{name} = {_tidy(str(value))}\n```\n")
        parts.append(f"{markdown(home.__doc__)}\n")
    return "\n".join(parts)


def _members(cls: type) -> list[str]:
    parts: list[str] = []
    own = f"{cls.__module__.partition('.')[0]}."
    seen: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith(own):
            continue
        for name in vars(base):
            if name.startswith("_") or name in seen or name in SEAM.get(base.__module__, ()):
                continue
            member = inspect.getattr_static(cls, name)
            doc = inspect.getdoc(getattr(member, "fget", member))
            if isinstance(member, property):
                seen.add(name)
                parts.append(f"#### `.{name}`\n\n{markdown(doc)}\n")
            elif inspect.isfunction(member) or isinstance(member, classmethod):
                seen.add(name)
                function = member.__func__ if isinstance(member, classmethod) else member
                twin = vars(base).get(name.removeprefix("a")) if name.startswith("a") else None
                if not doc and twin is not None:
                    doc = f"`{name.removeprefix('a')}` for asyncio."
                kind = "async def " if inspect.iscoroutinefunction(function) else ""
                parts.append(
                    f"#### `.{name}`\n\n```python\n{kind}{name}{_signature(function)}\n```\n\n"
                    f"{markdown(doc)}\n"
                )
    return parts


def _fields_of(cls: type) -> list[str]:
    """The fields, with what is written under each of them in the source."""
    source = inspect.getsource(cls)
    told = dict(re.findall(r'^    (\w+): [^\n]+\n    """(.*?)"""', source, re.M | re.S))
    if not told:
        return []
    rows = [f"- `{name}`: {markdown(text)}".replace("\n", " ") for name, text in told.items()]
    return ["\n".join(rows) + "\n"]


def _signature(value: typing.Any) -> str:
    try:
        signature = inspect.signature(value)
    except ValueError:
        return "(…)"
    kept = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    text = str(signature.replace(parameters=kept))
    return _wrapped(_tidy(text))


def _tidy(text: str) -> str:
    """A signature without the homes of its types and their quotes."""
    text = re.sub(r"(?:\b(?!P\.)\w+\.)+(?=[A-Za-z_])", "", text)
    text = re.sub(r"<class '(\w+)'>", r"\1", text)
    text = re.sub(r"<object object at [^>]+>", "…", text)
    text = re.sub(r"(?<=[:>] )(['\"])(.+?)\1", r"\2", text)
    text = text.replace("NoneType", "None")
    return re.sub(r" -> None$", "", text)


def _wrapped(text: str) -> str:
    """One parameter a line if it is long."""
    if len(text) <= 76:
        return text
    depth, start, parts, close = 0, 1, [], len(text)
    for at, letter in enumerate(text):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth == 0:
                close = at
                break
        elif letter == "," and depth == 1:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:close].strip())
    inner = "".join(f"    {part},\n" for part in parts)
    return f"(\n{inner}){text[close + 1 :]}"


# -- the command line ---------------------------------------------------------------------
def cli_page() -> str:
    context = click.Context(command_line, info_name="taskq", max_content_width=90)
    parts = [
        MADE,
        "# Command line\n",
        f"{_help(command_line)}\n",
        "`python -m taskq` does the same.\n",
        _parameters(command_line, context),
        f"{command_line.epilog}\n",
    ]
    names = command_line.list_commands(context)
    commands = {name: command_line.get_command(context, name) for name in names}
    rows = [
        (f"[`taskq {name}`](#{name})", command.get_short_help_str(200))
        for name, command in commands.items()
        if command is not None
    ]
    parts += [table(["Command", ""], rows), ""]
    for name, command in commands.items():
        if command is None:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        usage = " ".join(command.collect_usage_pieces(inner))
        parts += [
            f"## `taskq {name}` {{ #{name} }}\n",
            f"```console\n$ taskq {name} {usage}\n```\n",
            f"{_help(command)}\n",
            _parameters(command, inner),
        ]
    return "\n".join(parts)


def _help(command: click.Command) -> str:
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(
        f"```console\n{text[2:].strip()}\n```" if text.startswith("\b\n") else text
        for text in paragraphs
    )


def _parameters(command: click.Command, context: click.Context) -> str:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            rows.append((f"`{record[0]}`", record[1].replace("[", "\\[")))
    return table(["Option", ""], rows) + "\n" if rows else ""


PAGES: dict[str, Callable[[], str]] = {
    "reference/options.md": options_page,
    "reference/settings.md": settings_page,
    "reference/cli.md": cli_page,
    "reference/errors.md": errors_page,
    "reference/python.md": api_page,
}
"""Path and maker of each page."""
