"""Real servers on localhost for the demo and the tests, without containers.

Each module holds one context manager. It starts the server as a child process on a free port,
waits until it answers, keeps data and log in the directory it is given, and leaves no process
behind, also when this process is interrupted or killed.
"""
