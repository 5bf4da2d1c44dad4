"""Data sources, one file each.

A chunk that a source yields may carry `chunk.attrs["dropped"]`, a mapping from a reason to the number of rows it left
out of that chunk; the cleaning report counts them.
"""
