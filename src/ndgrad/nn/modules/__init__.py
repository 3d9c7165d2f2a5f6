"""PyTorch's `torch.nn.modules`: `Module` and the layers, activations and losses that are built on it."""

from ndgrad.nn.modules.activation import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softmax2d,
    Softmin,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
    Tanhshrink,
    Threshold,
)
from ndgrad.nn.modules.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from ndgrad.nn.modules.flatten import Flatten, Unflatten
from ndgrad.nn.modules.linear import Bilinear, Identity, Linear
from ndgrad.nn.modules.module import Module

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Bilinear", "Flatten", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity",
    "LeakyReLU", "Linear", "LogSigmoid", "LogSoftmax", "Mish", "Module", "ModuleDict", "ModuleList", "PReLU", "ParameterDict",
    "ParameterList", "RReLU", "ReLU", "ReLU6", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softmax2d", "Softmin", "Softplus",
    "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold", "Unflatten",
]
