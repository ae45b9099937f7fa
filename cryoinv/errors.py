"""The errors a user can cause; the command line turns each into one message."""


class CryoinvError(Exception):
    """Base of every error whose message alone tells the user what to mend."""


class InputError(CryoinvError, ValueError):
    """A file or argument is not what it must be.

    The message names the file or argument, what was found and what was expected.
    """


class DeviceError(CryoinvError, RuntimeError):
    """A device was asked for that this machine does not have."""


class LostProcessError(CryoinvError, RuntimeError):
    """Another process of a run of several has ended before the work was done."""


class InputWarning(UserWarning):
    """Something in the input was read, but not as the user may expect."""
