"""Takes the README's picture of the panel, in JupyterLab in Chromium: `make picture`."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nbformat

from tests.browser import open_page, running_lab

CELLS = (
    "%load_ext roam_lab\n"
    "import torch, transformers\n"
    "transformers.logging.set_verbosity_error()\n"
    "model = transformers.GPT2LMHeadModel(transformers.GPT2Config(use_cache=False)).train()\n"
    "ids = torch.randint(0, model.config.vocab_size, (1, 128))\n"
    'batch = {"input_ids": ids, "labels": ids}\n'
    "optimizer = torch.optim.AdamW(model.parameters())",
    "%%capture\n"  # long outputs would move the panel out of what JupyterLab draws
    'profile = %roam profile model batch --optimizer optimizer --name "GPT-2"\n'
    "captured = %roam plan --order captured --name captured\n"
    'roam = %roam plan --order roam --node-limit 64 --name "roam 64"',
    "panel = %roam lab\npanel.choose('GPT-2')",
)


def main() -> None:
    """Write docs/panel.png."""
    root = Path(tempfile.mkdtemp())
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, root / "panel.ipynb")
    with running_lab(root) as lab, open_page(lab, 1700, 1500) as page:
        page.open("panel.ipynb")
        page.page.wait_for_timeout(4_000)
        page.execute("notebook:run-all-cells")
        page.locator(".bk-Figure").first.wait_for(timeout=240_000)
        page.page.wait_for_timeout(5_000)
        shown = page.locator(".jp-OutputArea-output:has(.widget-gridbox)").last
        shown.scroll_into_view_if_needed()
        page.page.set_viewport_size({"width": 1700, "height": int(shown.bounding_box()["height"]) + 200})
        page.page.wait_for_timeout(3_000)
        shown.screenshot(path=str(Path(__file__).with_name("panel.png")))


if __name__ == "__main__":
    main()
