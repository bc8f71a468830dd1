"""The report of a run: one page for people, and the same figures as JSON.

It is made in three steps: ``measuring`` runs the model and collects, ``document`` puts what was found into
one JSON document, and ``page`` turns that document and its pictures into HTML.
"""

PAGE, JSON = "report.html", "report.json"
"""What the files of a report are called unless they are given another name."""
