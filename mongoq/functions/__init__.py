"""Task functions: what `@queue.task` makes of a user's function.

A *definition* is a function with its name and options. Its *signature* binds a call to tags and tags to a call, and
turns results into values that BSON carries. Each parameter and the result have a *conversion*, compiled once from the
annotation when the function is defined. A *task function* is what the user has in hand: `new`, `call`, `options`, `fn`.
*Tasks* are the functions of a module, apart from any queue; a queue includes them.

Nothing here does I/O or knows MongoDB: a task function hands a `NewTask` to whatever its functions are bound to.
"""
