"""What runs do and did, in the browser: served to this machine alone, from the runs' own folders, which it only reads; a live run can
be asked for a checkpoint or to stop."""

from .server import application, serve

__all__ = ["application", "serve"]
