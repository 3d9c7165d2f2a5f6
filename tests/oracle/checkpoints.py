"""What the programs with checkpoints are written with."""

import importlib


def tools(torch):
    return importlib.import_module(f"{torch.__name__}.utils.checkpoint")


def leaf(torch, *values):
    return torch.tensor(list(values), dtype=torch.float64, requires_grad=True)


def counted(function):
    """The function, and a list that grows by one with each call of it."""
    calls = []

    def call(*args, **kwargs):
        calls.append(len(calls))
        return function(*args, **kwargs)

    return call, calls


def near(value):
    """The numbers of a tensor, but for the last digits, in which sums of the same numbers may differ."""
    return None if value is None else [round(number, 10) for number in value.flatten().tolist()]


def lists(values):
    return [near(value) for value in values]
