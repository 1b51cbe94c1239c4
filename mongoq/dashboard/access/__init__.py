"""Who somebody is, what a role may do, and whether a request comes from the dashboard's own pages."""
