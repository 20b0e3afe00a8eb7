"""The report: one document, shown as a page (`html`) and in the terminal (`text`).

Nothing is imported here, so that a command that only reads a document does not load the template engine.
"""
