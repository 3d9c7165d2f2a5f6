"""``python -m benchmarks``: measure the workloads on ndgrad and on torch, and print a table."""

import argparse
import json
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks import machine, report
from benchmarks.runner import Row, Settings, WorkloadFailed, measure
from benchmarks.workloads import WORKLOADS


def main() -> int:
    options = parser().parse_args()
    chosen = [work for work in WORKLOADS if options.pattern is None or options.pattern.search(f"{work.name} {work.title}")]
    if options.list:
        print("\n".join(f"{work.name:<30} {work.title}" for work in chosen))
        return 0
    if not chosen:
        print("no workload matches the pattern; --list names them", file=sys.stderr)
        return 2
    sides = options.sides or (("ndgrad", "torch") if find_spec("torch") else ("ndgrad",))
    settings = Settings(tuple(sides), options.threads, options.rounds, options.seconds)
    facts = machine.describe(list(sides), options.threads)
    note = None if options.markdown else print  # --markdown prints the block and nothing else on standard output
    warnings: list[str] = []

    def say(text: str) -> None:
        print(text, file=sys.stdout if note else sys.stderr, flush=True)

    def warn(text: str | None) -> None:
        if text is not None:
            warnings.append(text)
            say(f"WARNING: {text}")

    say(report.fact_line(facts))
    if "torch" not in sides:
        say("torch is not measured: times only, no ratios")
    before = machine.ProcessorUse()
    time.sleep(1.0)
    warn(machine.busy_warning(before, "before the start"))
    say(report.text_line(report.HEADINGS))
    during = machine.ProcessorUse()
    rows: list[Row] = []
    failed = 0
    for work in chosen:
        try:
            rows.append(measure(work, settings))
        except WorkloadFailed as error:
            failed += 1
            say(f"{work.title}: {error}")
        else:
            say(report.text_line(report.cells(rows[-1])))
    warn(machine.busy_warning(during, "during the run"))
    say(summary(rows, failed))
    if options.json:
        Path(options.json).write_text(json.dumps(report.as_json(rows, facts, warnings), indent=2) + "\n")
    if options.markdown:
        print(report.markdown(rows, facts))
    return 1 if failed or any(row.same_values is False for row in rows) else 0


def summary(rows: list[Row], failed: int) -> str:
    met = sum(row.met is True for row in rows)
    missed = sum(row.met is False for row in rows)
    differing = sum(row.same_values is False for row in rows)
    parts = [f"{met} met", f"{missed} missed"]
    parts += [f"{differing} with values that differ"] if differing else []
    parts += [f"{failed} failed"] if failed else []
    return "targets: " + ", ".join(parts)


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure ndgrad and torch in turn, and compare.")
    result.add_argument("-k", dest="pattern", metavar="PATTERN", type=pattern, help="only the workloads whose name or title matches")
    result.add_argument("--list", action="store_true", help="name the workloads and stop")
    result.add_argument("--threads", type=positive, default=1, metavar="N", help="threads of each side (default: 1)")
    result.add_argument("--rounds", type=positive, default=5, metavar="N", help="rounds of each side (default: 5)")
    result.add_argument("--seconds", type=float, default=0.3, help="length of a round (default: 0.3)")
    result.add_argument("--side", dest="sides", action="append", choices=("ndgrad", "torch"), help="this side only; may be repeated")
    result.add_argument("--json", metavar="FILE", help="write all that was measured to a file")
    result.add_argument("--markdown", action="store_true", help="print the table for the README; the rest goes to standard error")
    return result


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
