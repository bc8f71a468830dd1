"""Services close to the machine: files, memory, devices, downloads."""
