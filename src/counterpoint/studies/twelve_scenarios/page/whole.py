"""All sections of the page, in order."""

from collections.abc import Sequence

from counterpoint.report.exhibits import Section
from counterpoint.studies.study import Results
from counterpoint.studies.twelve_scenarios.answers import Answers
from counterpoint.studies.twelve_scenarios.grid import EXTENSIONS
from counterpoint.studies.twelve_scenarios.page.classes import classes, neighbours
from counterpoint.studies.twelve_scenarios.page.extensions import bias, columns, extension
from counterpoint.studies.twelve_scenarios.page.maps import maps
from counterpoint.studies.twelve_scenarios.page.names import PROTOCOLS, trained
from counterpoint.studies.twelve_scenarios.page.scenarios import protocols, table
from counterpoint.studies.twelve_scenarios.page.unseen import unseen

__all__ = ["sections"]


def sections(results: Results) -> Sequence[Section]:
    """All that the cells at hand can fill."""
    known = [Answers(results, protocol) for protocol in PROTOCOLS if trained(results, protocol)]
    found: list[Section | None] = [table(answers) for answers in known]
    found.append(protocols(results))
    for answers in known:
        found += [maps(answers), classes(answers)]
    found += [neighbours(results), unseen(results)]
    own = {"bias": bias, "columns": columns}
    found += [own[part](results) if part in own else extension(results, part) for part in EXTENSIONS]
    return [section for section in found if section is not None]
