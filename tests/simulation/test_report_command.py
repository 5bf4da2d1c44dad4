"""`everbloom report` writes beside the records, shows examples from the checkpoint, and refuses to write over anything else."""

import pytest
from rich.console import Console

from everbloom.errors import InputError
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.reporting import write_report
from simulation.run import run_in_process


@pytest.fixture
def finished(small, study_of, tmp_path):
    """(name, **tables) -> the directory of a finished run."""

    def make(name: str, **tables):
        experiment = small(**tables)
        run = RunDirectory.create(tmp_path / "runs" / name, experiment)
        run_in_process(study_of(experiment), run, Silent(), resume=False)
        return run.path

    return make


def text(path):
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("personal", [False, True])
def test_one_run_has_its_page_beside_its_records_with_examples(finished, personal):
    path = finished("one", model={"user": {"personal": personal}})
    page = write_report([path], None, True, Console(quiet=True))
    assert page == path / "report.html"
    assert text(page).count("<article>") == 6
    assert "Took later" in text(page)
    assert "<article>" not in text(
        write_report([path], None, False, Console(quiet=True))
    )  # its own page is written over


def test_a_folder_of_runs_has_one_page(finished, tmp_path):
    finished("a")
    finished("b", seed=4)
    page = write_report([tmp_path / "runs"], None, False, Console(quiet=True))
    assert page == tmp_path / "runs" / "report.html"
    assert "2 runs of 1 setting" in text(page)


def test_without_a_checkpoint_the_section_says_why_there_are_no_examples(finished):
    path = finished("one")
    (path / "checkpoint" / "state.json").unlink()
    assert "no checkpoint here yet" in text(write_report([path], None, True, Console(quiet=True)))


def test_nothing_else_is_written_over(finished, tmp_path):
    path = finished("one")
    other = tmp_path / "notes.html"
    other.write_text("mine")
    for out, told in ((other, "is no report"), (tmp_path, "is a folder"), (tmp_path / "no" / "x.html", "no folder")):
        with pytest.raises(InputError, match=told):
            write_report([path], out, False, Console(quiet=True))
    assert text(other) == "mine"
    with pytest.raises(InputError, match="no run's directory"):
        write_report([tmp_path / "no"], tmp_path / "x.html", False, Console(quiet=True))
