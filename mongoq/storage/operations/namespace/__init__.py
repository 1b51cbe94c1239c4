"""What the processes of one namespace share: `<namespace>.control`."""
