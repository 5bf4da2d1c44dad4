"""The page of `everbloom report`, with examples from the first run's checkpoint."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from everbloom.errors import InputError
from everbloom.report.examples import examples_of, examples_section
from everbloom.report.records import RunRecords, find_runs
from everbloom.report.report import report
from everbloom.report.section import Section
from everbloom.study import Study
from server.released import released
from server.run_directory import RunDirectory
from simulation.commands import study_with_progress
from simulation.personal import served_kept

_EXAMPLES = 6
_MARK = '<meta name="generator" content="everbloom report">'


def write_report(paths: Sequence[Path], out: Path | None, examples: bool, console: Console) -> Path:
    """Writes the page and returns where. Raises `InputError` if there are no runs, or something that is no report would be written over."""
    page = out or (paths[0] / "report.html" if len(paths) == 1 else Path("report.html"))
    _check(page)
    runs = find_runs(paths)
    text = report(runs, _examples(runs[0], console) if examples else None)
    temporary = page.with_name(f".{page.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(page)
    except OSError as error:
        raise InputError(f"{page}: cannot be written: {error.strerror or error}") from None
    console.print(f"report of {len(runs)} run{'s' if len(runs) > 1 else ''}: {page}", highlight=False, soft_wrap=True)
    return page


def _check(page: Path) -> None:
    if not page.parent.is_dir():
        raise InputError(f"{page}: there is no folder {page.parent}")
    if page.is_dir():
        raise InputError(f"{page}: is a folder; give --out a file, for example {page / 'report.html'}")
    if page.exists() and _MARK not in page.read_bytes()[:4096].decode(errors="replace"):
        raise InputError(f"{page}: exists and is no report; give another --out")


def _examples(run: RunRecords, console: Console) -> Section:
    """Of a run whose data or checkpoint are not here, the section says why there are none."""
    try:
        study = study_with_progress(run.experiment, console)
        parameters, kept = _released(run.path, study)
        return examples_section(examples_of(study, parameters, kept, _EXAMPLES))
    except InputError as error:
        return examples_section(f"No examples: {error}")


def _released(path: Path, study: Study) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The parameters that the run serves, and what devices keep to themselves where their users are served by it."""
    kept = partial(served_kept, path / "devices", study)
    state, parameters = released(study, RunDirectory(path), kept)
    return parameters, kept(state)
