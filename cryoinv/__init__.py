"""Operators, noise models and priors for cryo-EM reconstruction, composable in the manner of ODL."""
