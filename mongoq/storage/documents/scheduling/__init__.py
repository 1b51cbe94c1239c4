"""The documents of schedules, and of the tasks of their ticks before these are launched."""
