"""GPT-2 trained by each integration, eager and hooked, with evaluation and a checkpoint that is resumed from in a fresh
process: every loss, norm and weight compared bit for bit.

A cell is a library with or without planned steps, and runs in two processes of its own: the whole training, and its
second half, resumed from the checkpoint of the first. Cells that are in the results are not run again, unless the code
has changed since. The text is Python's own help; its bytes are the tokens. Exit status 1 where anything differs.
"""
