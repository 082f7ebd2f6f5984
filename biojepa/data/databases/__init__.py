"""The public ECG databases on their own disk layouts; start at `layouts`."""
