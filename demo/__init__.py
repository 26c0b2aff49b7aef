"""The main job on real parts, with one command."""
