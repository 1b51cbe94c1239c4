"""What a handler's return or error says of its task: a result and what follows, a signal, a failure to retry or not."""
