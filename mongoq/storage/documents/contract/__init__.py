"""What programs in other languages may rely on: the shape of a task's document."""
