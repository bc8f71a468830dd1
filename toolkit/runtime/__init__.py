"""Services of the machine: files, memory, devices, downloads."""
