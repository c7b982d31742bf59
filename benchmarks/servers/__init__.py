"""Adapters of the servers that are measured."""
