"""The errors a user can cause; the command line turns each into one message."""

_MOST_CHARACTERS = 200
_NO_MEMORY = ("out of memory", "not enough memory", "allocate memory", "ALLOC_FAILED")


def lacks_memory(error: BaseException) -> bool:
    """Whether an error of Python, torch or a GPU's libraries is for want of memory.

    Examples
    --------
    >>> lacks_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")), lacks_memory(RuntimeError("shapes"))
    (True, False)
    """
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def shortened(text: object) -> str:
    """Return what a file holds as a message may repeat it: a name of any length within 200 characters.

    Examples
    --------
    >>> len(shortened("x" * 10_000)), shortened("000001@a.mrcs")
    (200, '000001@a.mrcs')
    """
    whole = str(text)
    half = (_MOST_CHARACTERS - 5) // 2
    return whole if len(whole) <= _MOST_CHARACTERS else f"{whole[: half + 1]} ... {whole[-half:]}"


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
