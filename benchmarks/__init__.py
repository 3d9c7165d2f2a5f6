"""ndgrad beside torch, workload by workload: ``python -m benchmarks``. Part of the repository, not of the package."""
