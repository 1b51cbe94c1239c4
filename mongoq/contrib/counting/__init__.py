"""What exporters of metrics count with."""
