"""Commands that steer the whole fleet: schedules, pauses, and the end of single workers."""
