"""Our error tree: it says who must act. Edge layers translate foreign errors into it, once."""

from __future__ import annotations


class OpcuaBmsError(Exception):
    """Base of all our errors; `exit_code` is what a command ends with."""

    exit_code = 1


class ConfigurationError(OpcuaBmsError):
    """Someone must mend a configuration, profile or environment; one line: file:line key: what (got …), how to mend."""

    exit_code = 78


class UsageError(OpcuaBmsError):
    """The command line does not make sense."""

    exit_code = 2


class UnreachableError(OpcuaBmsError):
    """A device or endpoint does not answer."""

    exit_code = 69


class StorageError(OpcuaBmsError):
    """A disk or database refuses."""

    exit_code = 74


class AddressInUseError(OpcuaBmsError):
    """A port that we were told to listen on is taken."""

    exit_code = 75


class PermissionDeniedError(OpcuaBmsError):
    """A key or file cannot be read or written."""

    exit_code = 77


class DeviceError(OpcuaBmsError):
    """One request to one device failed; becomes a quality and a counter, never an exit."""

    exit_code = 69


class InternalError(OpcuaBmsError):
    """We are wrong: a broken promise between our own parts."""
