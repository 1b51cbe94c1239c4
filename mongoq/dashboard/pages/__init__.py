"""Make HTML of what the service has read. Nothing here decides who may do what."""
