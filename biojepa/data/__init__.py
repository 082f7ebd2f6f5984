"""Readers, units, leads, the signal store, splits, cards and simulators; knows no model."""
