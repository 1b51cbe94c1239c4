"""Documents that other programs have written: whether each can be read and claimed, and how their keys are ordered."""
