"""The notebooks of the documentation run as they stand, and hold output of the kinds that they have when they run."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

REPO = Path(__file__).parent.parent
NOTEBOOKS = sorted((REPO / "docs" / "notebooks").glob("*.ipynb"))


def kinds(notebook) -> dict[str, list[list[str]]]:
    """Cell -> the kinds of each of its outputs."""
    return {
        cell["id"]: [sorted(output.get("data", {output.output_type: ""})) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_its_output_is_kept(path, tmp_path):
    shutil.copytree(REPO / "configs", tmp_path / "configs")
    folder = tmp_path / "docs" / "notebooks"
    folder.mkdir(parents=True)
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    assert all(cell.outputs for cell in kept.cells if cell.cell_type == "code"), "run it, and keep its output"
    ran = nbformat.from_dict(kept)
    NotebookClient(ran, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    assert kinds(ran) == kinds(kept)


def test_there_is_one():
    assert NOTEBOOKS
