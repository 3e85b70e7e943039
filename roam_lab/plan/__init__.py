"""Plans: making, judging, saving and loading them; profiles of captured steps."""

from roam_lab.order.bound import Certificate
from roam_lab.plan.plan import Plan
from roam_lab.plan.plan_json import load_plan, plan_from_data
from roam_lab.plan.planner import make_plan
from roam_lab.plan.profile import MeasuredCurve, Profile

__all__ = ["Certificate", "MeasuredCurve", "Plan", "Profile", "load_plan", "make_plan", "plan_from_data"]
