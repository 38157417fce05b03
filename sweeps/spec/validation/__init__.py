"""Checks a search file: the rules between keys that are valid one by one."""
