"""The errors that biojepa raises.

One family, so that a program can catch everything with `except BiojepaError`. Each is also the
built-in error that usual handlers expect (`ValueError`, `OSError`, ...). A message says what was
expected, what came, and what to do about it.
"""


class BiojepaError(Exception):
    """Any error that biojepa raises on purpose."""


class DataError(BiojepaError, ValueError):
    """The values are not usable: wrong shape, unit, rate, lead, label or amount."""


class FormatError(DataError, OSError):
    """A file is not what its format says: damaged, cut, inconsistent or hostile."""


class LeadError(DataError):
    """A lead or channel is missing, unknown or named twice."""


class LeakageError(DataError):
    """The same patient or record stands on both sides of a split."""


class ConfigError(BiojepaError, ValueError):
    """A setting is unknown, of the wrong type, or out of range."""


class CheckpointError(BiojepaError, OSError):
    """A checkpoint or model folder is damaged, incomplete or of another kind."""


class RunError(BiojepaError, OSError):
    """A run directory cannot be used: locked, not writable, or of another run."""


class DownloadError(BiojepaError, OSError):
    """A file cannot be fetched: no network, not there, cut, or another one than expected."""


class TrainingError(BiojepaError, RuntimeError):
    """Training cannot go on: non-finite losses, a collapse, a dead worker."""


class DeviceError(BiojepaError, RuntimeError):
    """The device that was asked for is not there."""


class MissingDependencyError(BiojepaError, ImportError):
    """An optional package is needed; the message names the extra to install."""


class PlausibilityWarning(UserWarning):
    """The values can be used, but their scale, rate or shape looks wrong."""


class MissingLeadWarning(UserWarning):
    """A lead that the model knows was not given and was masked."""


class CollapseWarning(UserWarning):
    """The embeddings occupy almost no dimensions: training is not learning."""


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint was passed over because its hashes do not match."""
