"""ODL, imported without its side effect on NumPy: every module takes ``odl`` from here."""

from typing import Any

import numpy as np

# `import odl` sets print options for the whole process; the context restores the user's.
with np.printoptions():
    import odl as _odl

odl: Any = _odl  # built by star imports, which a type checker cannot follow

__all__ = ["odl"]
