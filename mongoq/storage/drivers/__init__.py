"""The only code that talks to MongoDB: connections, the drivers that run operations, and the map of their errors."""
