"""Plans: make, judge, save and load them."""

from roam_lab.plan.plan import Certificate, Plan

__all__ = ["Certificate", "Plan"]
