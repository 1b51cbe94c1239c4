"""What brings documents as they come: change streams of the tasks, and the signals."""
