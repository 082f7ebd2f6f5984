"""The command line: `biojepa COMMAND`, one file per command."""
