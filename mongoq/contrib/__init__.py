"""mongoq in frameworks: `mongoq.contrib.fastapi`, and whatever else stands beside it.

Each module imports the framework it is named after, which the application has installed anyway, and nothing imports a
module of these but the application. So mongoq has no extra for them.
"""
