"""Commands: thin calls of the Python front door. Modules of ours that need torch are imported when a command runs."""
