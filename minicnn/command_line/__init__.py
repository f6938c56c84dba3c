"""The command line, ``python -m minicnn``: train on one's own photos, ask, evaluate, export.

`program` reads the arguments and calls one of the commands; what a user gets wrong is one sentence and exit code 2.
"""
