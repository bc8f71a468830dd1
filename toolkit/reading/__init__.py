"""The one way in for text that others wrote: files of JSON, YAML and tables, and the records in them.

- ``files``: bytes and text of a regular file, with a limit on the size that is looked at before reading.
- ``json_text``: JSON.
- ``yaml_text`` (with ``yaml_nodes``, ``yaml_types`` and ``yaml_written``): YAML, with limits on depth and
  aliases, and the types of YAML 1.2.
- ``records``: many records against a schema, all faults at once.
- ``fields``: the types that schemas are made of, and how a value is shown in a message.

Nothing here knows what the records are about.
"""
