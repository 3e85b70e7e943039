"""One real eager step: what it runs, what it holds, how long it takes. Imports torch."""
