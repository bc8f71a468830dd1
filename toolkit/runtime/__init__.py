"""The machine underneath: files, memory, devices, downloads."""
