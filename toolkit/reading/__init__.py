"""The only way to read text that others wrote: files of JSON, YAML and tables, and the records in them.

- ``files``: bytes and text of a regular file, with a limit on the size, which is checked before reading.
- ``json_text``: JSON.
- ``yaml_text`` (with ``yaml_nodes``, ``yaml_types`` and ``yaml_written``): YAML, with limits on depth and
  aliases, and the types of YAML 1.2.
- ``records``: many records against a schema, all errors at once.
- ``fields``: the types that schemas consist of, and how messages show a value.

Nothing here depends on what the records describe.
"""
