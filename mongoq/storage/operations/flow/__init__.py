"""Children are looked at when they are enqueued and released when their parents end; batches call back."""
