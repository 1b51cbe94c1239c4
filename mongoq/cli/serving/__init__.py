"""What `mongoq worker` is made of: the import of what it runs, its run until a signal comes, and its restarts."""
