"""What docs/operating/doctor.md presumes."""

from mongoq import Queue

queue = Queue()
