"""Views and pictures need neither bokeh nor torch."""

from tests.plan.test_light_import import loaded


def test_views_and_pictures_are_light() -> None:
    assert loaded("import roam_lab.report.views, roam_lab.report.pictures") == ""


def test_figures_bring_bokeh_alone() -> None:
    assert "torch" not in loaded("import roam_lab.report.figures").split(",")
