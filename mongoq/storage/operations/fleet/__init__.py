"""What the processes of a namespace tell each other: heartbeats and signals."""
