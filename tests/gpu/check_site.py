"""`python check_site.py SITE --python VERSION --provided NAME...`: are all requirements met?

Walks the requirements of this project and of every distribution in SITE, a directory of unpacked
wheels. Each must be met by SITE, in a version that is accepted, or be among the packages that the
machine provides, whose versions are not known. Runs with pip and no other package.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def unmet(site: Path, python: str, provided: list[str]) -> list[str]:
    """Returns a line for every requirement that is not met.

    Args:
        site: Unpacked wheels.
        python: Version of Python there, such as 3.12.
        provided: Names of packages that are there besides.
    """
    there = {canonicalize_name(name) for name in provided}
    packed = {
        canonicalize_name(distribution.metadata["Name"]): distribution
        for distribution in distributions(path=[str(site)])
    }
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    queue = [("this project", text, "") for text in project["dependencies"]]
    lines, seen = set(), set()
    while queue:
        owner, text, extra = queue.pop()
        requirement = Requirement(text)
        if not _applies(requirement, python, extra):
            continue
        name = canonicalize_name(requirement.name)
        distribution = packed.get(name)
        if distribution is None:
            if name not in there:
                lines.add(f"{owner} requires {requirement}, which is missing")
            continue
        if not requirement.specifier.contains(distribution.version, prereleases=True):
            lines.add(f"{owner} requires {requirement}, packed is {distribution.version}")
        for next_extra in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, next_extra))
            queue += [(name, text, next_extra) for text in distribution.requires or []]
    reached = {name for name, _ in seen}
    return sorted(lines) + [f"not needed: {name}" for name in sorted(packed.keys() - reached)]


def _applies(requirement: Requirement, python: str, extra: str) -> bool:
    """Tells whether a requirement's marker holds on the machine."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "extra": extra,
    }
    return requirement.marker is None or requirement.marker.evaluate(environment)


def main() -> None:
    """Prints what is not met; exit code 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--provided", nargs="*", default=[])
    options = parser.parse_args()
    lines = unmet(options.site, options.python, options.provided)
    print("\n".join(lines) or "all requirements are met", flush=True)
    sys.exit(any("requires" in line for line in lines))


if __name__ == "__main__":
    main()
