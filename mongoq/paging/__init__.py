"""Pages of tasks along an index, whatever their number: each goes on where the one before has ended.

A page reads the documents that it shows and no others, as far as an index knows what is asked for. For the rest it
searches: it reads so many documents in the order of the index, says how many, and goes on there when it is asked to.
"""
