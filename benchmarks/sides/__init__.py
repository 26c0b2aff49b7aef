"""What is measured: each function is one side of a comparison, run in a process of its own.

It prepares, does the work in the stopwatch's block, and tells how many rows and bytes of lines
came of it.
"""
