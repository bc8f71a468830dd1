"""Readers and writers of annotation formats that several datasets share."""
