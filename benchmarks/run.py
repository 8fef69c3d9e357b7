"""Measures taskq and its peers beside each other: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # python benchmarks/run.py: this folder's names are not modules
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import environment, peers, plan, report
from benchmarks.measures import Bench
from benchmarks.peers.base import Peer

MEASURES = [measure.name for measure in plan.MEASURES]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures taskq beside other queues, on the same Redis, in the same run.",
    )
    parser.add_argument("--quick", action="store_true", help="one short round: a look, no proof")
    parser.add_argument("--rounds", type=int, help="how often each is measured (3; quick: 1)")
    parser.add_argument(
        "--only",
        type=_names,
        default=[],
        metavar="NAME[,NAME]",
        help=f"measures ({', '.join(MEASURES)}) and queues ({', '.join(peers.NAMES)}) to run",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument(
        "--venv",
        type=Path,
        default=environment.DEFAULT_VENV,
        help="the virtual environment to install into and run in (%(default)s)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=environment.ROOT / "benchmarks" / ".cache",
        help="where the stores write: SQLite's figures are those of this disk (%(default)s)",
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.only) - {*MEASURES, *peers.NAMES}):
        parser.error(f"--only: unknown {', '.join(unknown)}")
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main() -> int:
    options = arguments()
    if not sys.platform.startswith("linux"):
        raise SystemExit("The benchmark reads /proc: it runs on Linux only.")
    environment.enter(options.venv.absolute())
    # Ended from outside, it still ends its servers and workers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    queues = [name for name in peers.NAMES if name in options.only] or peers.NAMES
    wanted = [name for name in MEASURES if name in options.only] or MEASURES
    loaded = [peer for name in queues for peer in _load(name)]
    results = plan.Results(loaded, wanted)
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=options.folder))
    bench = Bench(environment.redis_binary(), options.quick, folder)
    code = 0
    try:
        plan.run(bench, results, options.rounds)
    except KeyboardInterrupt:
        print("Stopped; this is what there is so far.", file=sys.stderr)
        code = 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    about = _about(bench, loaded, options, time.monotonic() - begin)
    print(_text(bench, results, about))
    if options.json:
        verdicts = [verdict._asdict() for verdict in report.verdicts(results)]
        whole = {"about": about, "goals": verdicts, "rows": report.as_json(results)}
        options.json.write_text(json.dumps(whole, indent=2) + "\n")
    return code


def _load(name: str) -> list[Peer]:
    try:
        return peers.load(name)
    except Exception as error:  # one peer that can't be imported doesn't stop the others
        print(f"{name} is left out: {type(error).__name__}: {error}", file=sys.stderr)
        return []


def _about(
    bench: Bench, loaded: list[Peer], options: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    packages = {package for peer in loaded for package in peer.packages}
    shared = ["redis", "hiredis"]
    return {
        **environment.machine(),
        "taskq": environment.taskq_version(),
        "server": bench.server,
        "packages": environment.versions([*sorted(packages), *shared]),
        "rounds": options.rounds,
        "quick": options.quick,
        "seconds": round(seconds),
    }


def _text(bench: Bench, results: plan.Results, about: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    kind = "quick: a look, no proof" if about["quick"] else "median and range of the rounds"
    blocks = [
        f"taskq {about['taskq']}, Python {about['python']}, {about['server']}\n{packages}\n"
        f"{about['cpu']}, {about['cores']} cores, {about['system']}\n"
        f"Rounds: {about['rounds']}, in {about['seconds']} s; {kind}\n{report.noise(results)}",
        report.tables(results),
    ]
    if any(row.case.peer.name == plan.OURS for row in results.all_rows()):
        blocks += [report.goals(results), report.losses(results)]
    if bench.complaints:
        blocks.append("Tracebacks in workers' logs\n  " + "\n  ".join(sorted(bench.complaints)))
    return "\n" + "\n\n".join(blocks)


if __name__ == "__main__":
    raise SystemExit(main())
