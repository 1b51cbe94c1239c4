"""The awaited drivers, over an AsyncMongoClient of PyMongo or a client of Motor, on the event loop of who awaits."""
