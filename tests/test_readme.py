"""What the README shows is run, and its commands are the ones that CI runs."""

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_examples_print_what_the_readme_says():
    results = doctest.testfile(str(ROOT / "README.md"), module_relative=False, encoding="utf-8")
    assert results.attempted > 10 and results.failed == 0


def test_ci_runs_the_commands_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    for command in ("pip install . && ndgrad demo", "pip install -e '.[test]' && pytest"):
        assert re.search(rf"^    {re.escape(command)}$", README, re.MULTILINE), f"README.md does not show: {command}"
        assert command in script, f".ci/run does not run: {command}"


def test_the_speed_table_has_its_markers():
    assert README.index("<!-- speed:begin -->") < README.index("<!-- speed:end -->")


def test_the_files_that_the_readme_links_to_exist():
    targets = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if "://" not in target]
    assert targets and [target for target in targets if not (ROOT / target).exists()] == []
