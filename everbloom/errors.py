"""Errors that a person can act on.

Everything that is wrong with what the user gave (an experiment file, a data set, a directory) is an `InputError`: one line that says
what is wrong, where, what was expected and what to do. The command line prints that line and exits with code 2; a traceback means a fault of ours.
"""


class InputError(Exception):
    """What the user gave cannot be used; the message is one complete line."""


class ConfigError(InputError):
    """An experiment file or an override is wrong."""


class DataError(InputError):
    """A data set cannot be read, or is empty or inconsistent."""


class PrivacyError(InputError):
    """A privacy claim that the code could not keep; refused rather than warned about."""


class BudgetExceeded(PrivacyError):
    """A device refuses to take part because its privacy budget would be exceeded."""


class CheckpointError(InputError):
    """A checkpoint is missing, damaged, or belongs to another experiment or parameter schema."""


class SchemaError(InputError):
    """Two sides disagree about the layout of the shared parameters."""
