"""What is going on and how far it is: bars where a person watches, plain lines elsewhere, activities for callers.

``rich`` draws the bars of a terminal. Of our own is what it does not do: bars that appear while nothing moves (a model
that loads, a first batch), bars of several threads in one display, lines where standard error is a file, and callers
who watch.
"""

from xtf.progress.activity import Activity, duration, line_of
from xtf.progress.tracking import Advance, busy, progress, watch_progress
from xtf.progress.words import notice

__all__ = ["Activity", "Advance", "busy", "duration", "line_of", "notice", "progress", "watch_progress"]
