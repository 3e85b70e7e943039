"""Run notebooks and save them with their outputs, as committed: `python notebooks/refresh.py [NAME.ipynb ...]`.

What differs from run to run and says nothing is left out: execution times, the state of widgets, progress bars that are
gone. The output of a cell tagged `live` (the panel: 2.6 MB of script, dead without a kernel) is left out, too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
CELL_SECONDS = 600
METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}


def refresh(path: Path) -> None:
    """Run one notebook from a clean kernel and save it; raises nbclient's CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    tidy(notebook)
    nbformat.write(notebook, path)


def tidy(notebook: Any) -> None:
    """Leave out what varies and says nothing; join what one stream printed in pieces."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        kept: list[Any] = []
        for output in [] if "live" in cell.metadata.get("tags", ()) else cell.outputs:
            if "data" in output and not any(str(text).strip() for text in output["data"].values()):
                continue
            if kept and output.output_type == "stream" == kept[-1].output_type and output.name == kept[-1].name:
                kept[-1].text += output.text
            else:
                kept.append(output)
        cell.outputs = kept


def main() -> None:
    """All notebooks, or those named."""
    for name in sys.argv[1:] or sorted(path.name for path in FOLDER.glob("*.ipynb")):
        print(f"running {name}", flush=True)
        refresh(FOLDER / Path(name).name)


if __name__ == "__main__":
    main()
