"""What docs/dashboard.md presumes."""

import os

from mongoq import Queue

os.environ |= {"ANN": "a", "BOB": "b"}
queue = Queue()
