"""What the object framework costs: M-steps through priors and solvers, beside the same in raw tensor code.

Both compute a map from the same statistics: eq. 11 (prior bound, closed form, `to_volume`), and RED's update with a
Wiener filter as its denoiser (eq. 17). The raw code is what one would write by hand for this one task, every constant
array made before; transforms are the same functions. They run in turn, so that what else runs hits both alike; times
are medians of CPU seconds (of the clock on a GPU), and the ratio is the median of the ratios of neighbouring runs. Both
must give the same map. The allocator is told to keep freed memory: else whether an array of 30 MB is returned to the
system, and its pages are made anew, decides 10 % of a time, either way.

    OMP_NUM_THREADS=2 python benchmarks/framework_cost.py [--box 96] [--rounds 31] [--device cpu] [--json]
"""

import argparse
import contextlib
import ctypes
import json
import statistics as stats
import time

import torch

from cryoinv.denoisers import Wiener
from cryoinv.likelihood import SufficientStatistics
from cryoinv.operators.interpolation import TrilinearInterpolation
from cryoinv.operators.padded_fft import cropped_irfft, padded_rfft
from cryoinv.priors import RED, GaussianPrior, PriorContext
from cryoinv.solvers import ClosedForm, REDUpdate
from cryoinv.spaces import centred_irfft, centred_rfft, radial_expand
from cryoinv.spaces.spectrum import radial_mean


def problem(n, device):
    """Statistics with a weight that falls with frequency, and a context, in single precision."""
    scheme, generator = TrilinearInterpolation(n), torch.Generator().manual_seed(0)
    x = padded_rfft(torch.randn(n, n, n, generator=generator).to(device), scheme.box)
    shells = n // 2 + 1
    empty = SufficientStatistics(scheme, x, x.real, None, None, 3.0)
    weight = empty.expand(1e4 / (1 + torch.arange(shells, device=device)) ** 1.5).float()
    statistics = SufficientStatistics(scheme, weight * x, weight, None, None, 3.0)
    fsc = torch.linspace(0.99, 0.01, shells, device=device)
    tau2 = fsc / (1 - fsc) / statistics.shell_mean(weight)
    return statistics, PriorContext(n, 3.0, fsc, tau2, 9.0, 100.0)


class Raw:
    """Both M-steps by hand."""

    def __init__(self, statistics, context):
        n, box = statistics.n, statistics.box
        self.n, self.box, self.data, self.weight = n, box, statistics.data, statistics.weight
        self.shells = statistics.expand(torch.arange(n // 2 + 1, device=self.data.device))
        self.window = statistics.interpolation.window(self.weight)
        self.inverse_window_sum = (1 / self.window).sum()
        self.tiny, self.context = torch.finfo(self.weight.dtype).tiny, context

    def closed_form(self):
        precision = (1 / self.context.tau2).float()[self.shells]
        return self.to_volume(self.data / (self.weight + precision).clamp(min=self.tiny))

    def red(self):
        x = self.data / self.floored()
        fsc = self.context.fsc.clamp(0, 1)
        fsc = torch.cat([fsc[1:2], fsc[1:]])
        gains = (fsc * ((fsc < 0.05).cumsum(0) == 0)).float()
        filtered = radial_expand(gains, self.n, outside=0.0) * centred_rfft(self.to_volume(x))
        volume = centred_irfft(filtered, self.n) * self.window
        spectrum = padded_rfft(volume, self.box)
        spectrum[0, 0, 0] = (volume / self.window).sum() / self.box**1.5
        precision = (1 / self.context.tau2).float()[self.shells]
        total = (self.weight + precision).clamp(min=self.tiny)
        return self.to_volume((self.data + precision * spectrum) / total)

    def floored(self):
        lowest = 1e-3 * radial_expand(radial_mean(self.weight, self.box), self.box)
        return torch.maximum(self.weight, lowest).clamp(min=self.tiny)

    def to_volume(self, spectrum):
        volume = cropped_irfft(spectrum, self.n, self.box)
        lacking = self.box**1.5 * spectrum[0, 0, 0].real - (volume / self.window).sum()
        return (volume + lacking / self.inverse_window_sum) / self.window


def tasks(statistics, context):
    """By name, the framework's way and the raw one."""
    raw = Raw(statistics, context)

    def framed(prior, m_step):
        def run():
            m_step.check(prior)
            return statistics.to_volume(m_step(statistics, prior.bind(statistics, context)))

        return run

    return {
        "closed form": (framed(GaussianPrior(), ClosedForm()), raw.closed_form),
        "RED update": (framed(RED(Wiener()), REDUpdate()), raw.red),
    }


def timed(function, device):
    """Seconds of one call: those of the CPU, or of the clock for another device."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    begin = clock()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - begin


def measure(n, rounds, device):
    """Median times in seconds, their ratio and the difference of the maps, by task."""
    found = {}
    for name, (framework, raw) in tasks(*problem(n, device)).items():
        expected = raw()
        difference = float((framework() - expected).norm() / expected.norm())
        assert difference < 1e-5, f"{name}: the maps differ by {difference:.1e}"
        pairs = []
        for turn in range(rounds):
            order = (framework, raw) if turn % 2 else (raw, framework)
            times = {function: timed(function, device) for function in order}
            pairs.append((times[framework], times[raw]))
        found[name] = {
            "framework": stats.median(a for a, _ in pairs),
            "raw": stats.median(b for _, b in pairs),
            "ratio": stats.median(a / b for a, b in pairs),
            "difference": difference,
        }
    return found


def keep_freed_memory():
    """Tell glibc not to return memory to the system; elsewhere nothing."""
    with contextlib.suppress(AttributeError, OSError):
        for option in (-1, -3):  # thresholds of trimming and of separate maps
            ctypes.CDLL(None).mallopt(option, 2**31 - 1)


def main():
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--box", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.box, options.rounds, options.device)
    if options.json:
        print(json.dumps(found))
        return
    print(f"box {options.box}, padding 2, {options.device}, {torch.get_num_threads()} threads")
    for name, each in found.items():
        print(
            f"{name:12s} framework {1e3 * each['framework']:8.1f} ms, raw {1e3 * each['raw']:8.1f} ms,"
            f" ratio {each['ratio']:.3f}"
        )


if __name__ == "__main__":
    main()
