"""Several processes at one piece of work: which of them this is, and what they tell each other."""

from .group import ProcessGroup, joined
from .launch import Launch, launched
from .processes import Processes

__all__ = ["Launch", "ProcessGroup", "Processes", "joined", "launched"]
