"""What depends on the process and its host: environment, standard streams, waits, tracebacks and random keys."""
