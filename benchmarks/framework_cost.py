"""What the object framework costs: M-steps through priors and solvers, beside the same in raw tensor code.

Both compute a map from the same statistics: eq. 11 (prior bound, closed form, `to_volume`), and RED's update with a
low-pass filter as its denoiser (eq. 17). The raw code is what one would write by hand with every array at hand. They
run in turn, so that what else runs hits both alike; times are medians, and the ratio is the median of those of
neighbouring runs.

    OMP_NUM_THREADS=2 python benchmarks/framework_cost.py [--box 96] [--rounds 15] [--device cpu] [--json]
"""
