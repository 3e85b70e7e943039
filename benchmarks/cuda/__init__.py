"""The first minutes with a GPU: what has to be known there, stage by stage, each in a process with a time limit.

    python -m benchmarks.cuda [--minutes 15] [--stages bits,identity] [--cells gpt2] [--plans FOLDER]

Needs this repository, Python 3.12, torch 2.11 and transformers, or newer ones. Lines are written as figures come; what
is there is not run again.
"""
