"""Real volumes and Hermitian half-spectra as real Hilbert spaces."""
