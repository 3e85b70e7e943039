"""One real eager step, observed: the ops that it runs, the bytes that it holds, its time. Imports torch."""
