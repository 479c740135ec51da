"""The commands of the program `unified`, one file each.

A command module is torch-free at the top level and defines `HELP` (one line), `EXAMPLES` (command lines, one a line,
shown by `--help` and run by a test), `add_arguments(parser)` and `run(args) -> int`, the exit status.
"""
