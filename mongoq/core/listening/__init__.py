"""Typed events of a queue, and their delivery to listeners. Users import the events from `mongoq.events`."""
