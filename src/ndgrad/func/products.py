"""Derivatives that are used without being stored: `hvp` and `jacobian_product` as operators, `hessian_diag`, `laplacian`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.autograd.rows import unit_vectors
from ndgrad.base.trees import TreeSpec, tree_flatten, tree_unflatten, treespec_pprint
from ndgrad.base.types import Array
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.arguments import check_floating, named_after
from ndgrad.func.linear import differentiated
from ndgrad.func.mapping import vmap
from ndgrad.func.recordings import Recording
from ndgrad.func.reverse import grad
from ndgrad.ops import ops as functions


class Space:
    """The trees of one structure, as vectors."""

    def __init__(self, leaves: Sequence[Tensor], spec: TreeSpec) -> None:
        self.spec = spec
        self.shapes = [leaf._a.shape for leaf in leaves]
        self.kinds = [leaf._a.dtype for leaf in leaves]
        self.ends = np.cumsum([leaf.numel() for leaf in leaves]).tolist()
        self.size: int = self.ends[-1] if leaves else 0
        self.dtype = np.result_type(*self.kinds) if leaves else np.dtype(np.float64)

    def checked(self, tree: Any) -> list[Tensor]:
        """The leaves of a tree, if it has this structure and these shapes."""
        leaves, spec = tree_flatten(tree)
        if spec != self.spec:
            raise ValueError(f"the operator takes a tree like {treespec_pprint(self.spec)}, but was given {treespec_pprint(spec)}")
        for leaf, shape in zip(leaves, self.shapes, strict=True):
            if not isinstance(leaf, Tensor) or leaf._a.shape != shape:
                was = list(leaf._a.shape) if isinstance(leaf, Tensor) else type(leaf).__name__
                raise ValueError(f"the operator takes a tensor of shape {list(shape)} there, but was given {was}")
        return leaves

    def leaves(self, vector: Array) -> list[Tensor]:
        """The leaves of the tree that a flat vector stands for."""
        flat = np.asarray(vector).reshape(self.size)
        parts = zip(np.split(flat, self.ends[:-1]), self.shapes, self.kinds, strict=True)
        return [wrap(part.reshape(shape).astype(kind)) for part, shape, kind in parts]

    def vector(self, leaves: Sequence[Tensor]) -> Array:
        """The flat vector of a tree's leaves."""
        return np.concatenate([np.ravel(leaf.detach().numpy()) for leaf in leaves]).astype(self.dtype, copy=False)


class Operator:
    """A derivative at a point, as a linear map: what it does to a vector is computed when it is asked for.

    Call it with a tree of tensors; or hand it to the functions of `scipy.sparse.linalg`, whose vectors are flat NumPy arrays. Both
    directions are passes over one recording of the function.

    Attributes
    ----------
    shape : of the matrix: the numbers of elements of what comes out and of what goes in.
    value : the outputs of the function there, or, of `hvp`, its gradient.
    """

    def __init__(self, recorded: Recording, domain: TreeSpec, image: TreeSpec) -> None:
        for y in recorded.outputs:
            check_floating(y, "output")
        self.recorded = recorded
        self.domain = Space(recorded.leaves, domain)
        self.image = Space(recorded.outputs, image)
        self.shape = (self.image.size, self.domain.size)
        self.dtype = np.result_type(self.domain.dtype, self.image.dtype)
        self.value = tree_unflatten(recorded.values, image)

    def __repr__(self) -> str:
        return f"<{self.shape[0]}x{self.shape[1]} {type(self).__name__} of {self.dtype}>"

    def __call__(self, *tangents: Any) -> Any:
        """The map applied to a tree like the argument."""
        given = self.domain.checked(tangents[0] if len(tangents) == 1 else tangents)
        return tree_unflatten(self.push(given), self.image.spec)

    def __matmul__(self, other: Any) -> Any:
        """The matrix times a flat vector, or times a matrix of such columns: a tensor for a tensor, an array for an array."""
        shape = np.shape(other._a if isinstance(other, Tensor) else other)
        if len(shape) not in (1, 2) or shape[0] != self.shape[1]:
            raise ValueError(
                f"{self} @ other: other must be a vector of {self.shape[1]} elements or a matrix with so many rows, but has the shape "
                f"{list(shape)}; a tree like the argument is mapped by calling the operator with it"
            )
        if not isinstance(other, Tensor):
            return self.matvec(other) if len(shape) == 1 else self.matmat(other)
        if len(shape) == 2:
            return vmap(self.__matmul__, in_dims=1, out_dims=1)(other)
        sizes = np.diff([0, *self.domain.ends]).tolist()
        given = [part.reshape(x._a.shape).to(x.dtype) for part, x in zip(other.split(sizes), self.recorded.leaves, strict=True)]
        return functions.cat([pushed.reshape((-1,)) for pushed in self.push(given)])

    def transpose(self, cotangents: Any) -> Any:
        """The transposed map applied to a tree like the value."""
        return tree_unflatten(self.recorded.pull(self.image.checked(cotangents)), self.domain.spec)

    def push(self, tangents: list[Tensor]) -> list[Tensor]:
        return self.recorded.push(tangents)

    def matvec(self, vector: Array) -> Array:
        """The matrix times a vector."""
        return self.image.vector(self.push(self.domain.leaves(vector)))

    def rmatvec(self, vector: Array) -> Array:
        """The adjoint of the matrix times a vector."""
        return self.domain.vector(self.recorded.pull(self.image.leaves(vector)))

    def matmat(self, matrix: Array) -> Array:
        """The matrix times several vectors, its columns, all at once."""
        rows = [wrap(np.ascontiguousarray(part.T).reshape(-1, *shape).astype(kind)) for part, shape, kind in self.parts(matrix)]
        pushed = vmap(lambda *tangents: tuple(self.push(list(tangents))))(*rows)
        return np.concatenate([out.detach().numpy().reshape(len(out), -1).T for out in pushed])

    def parts(self, matrix: Array) -> Any:
        """The rows of a matrix that belong to each leaf of the domain, with the leaf's shape and dtype."""
        return zip(np.split(np.asarray(matrix), self.domain.ends[:-1]), self.domain.shapes, self.domain.kinds, strict=True)

    def aslinearoperator(self) -> Any:
        """The same as a `scipy.sparse.linalg.LinearOperator`, which can be added to others and multiplied with them; needs SciPy."""
        from scipy.sparse.linalg import LinearOperator

        return LinearOperator(self.shape, self.matvec, self.rmatvec, self.matmat, self.dtype)


class Hessian(Operator):
    """A Hessian: it is symmetric, so both directions are the cheaper one, a backward of the recorded gradient."""

    def push(self, tangents: list[Tensor]) -> list[Tensor]:
        return self.recorded.pull(tangents)


def jacobian_product(func: Callable[..., Any], *primals: Any) -> Operator:
    """The Jacobian of a function at a point, as an operator: products with it and with its transpose, without the matrix.

    Examples
    --------
    >>> J = jacobian_product(residuals, parameters)
    >>> step = scipy.sparse.linalg.lsqr(J, -J.value.numpy())[0]
    """
    recorded = differentiated(func, primals)
    return Operator(recorded, single(recorded.spec), recorded.output_spec)


def hvp(func: Callable[..., Any], *primals: Any) -> Operator:
    """The Hessian of a function of one number at a point, as an operator.

    The gradient is recorded once; a product costs one backward of it.

    Examples
    --------
    >>> H = hvp(energy, x)
    >>> lowest = scipy.sparse.linalg.eigsh(H, k=1, which="SA")
    """
    gradient = grad(func, tuple(range(len(primals))))
    recorded = differentiated(gradient, primals)
    spec = single(recorded.spec)
    return Hessian(recorded, spec, spec)


def single(spec: TreeSpec) -> TreeSpec:
    """The structure of the argument, where there is one; of all arguments otherwise."""
    return spec.child(0) if spec.num_children == 1 else spec


def hessian_diag(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The function that computes the diagonal of the Hessian of `func`: for each element of an argument the second derivative by it.

    A Hessian is symmetric, so its columns are backwards of the recorded gradient: many at once, of which the diagonal alone is kept.
    """

    @named_after(func)
    def wrapper(*args: Any) -> Any:
        def chosen(tree: Any) -> Any:
            return func(*(tree if at == argnums % len(args) else each for at, each in enumerate(args)))

        recorded = differentiated(grad(chosen), (args[argnums],))
        return tree_unflatten(diagonal(recorded), single(recorded.spec))

    return wrapper


#: At most so many elements of unit vectors are made at a time.
BLOCK = 1 << 22


def diagonal(recorded: Recording) -> list[Tensor]:
    """The diagonal of the derivative of a map from trees to trees of the same structure."""
    leaves = recorded.leaves
    size = sum(leaf.numel() for leaf in leaves)
    step = max(1, min(size, BLOCK // max(size, 1)))
    pieces: list[Tensor] = []
    for start in range(0, size, step):
        units = unit_vectors(leaves, start, min(start + step, size))
        rows = vmap(lambda *vectors: tuple(recorded.pull(list(vectors))))(*units)
        pieces.append(sum((row * unit).reshape((len(unit), -1)).sum(1) for row, unit in zip(rows, units, strict=True)))
    if not pieces:
        return [functions.zeros_like(leaf) for leaf in leaves]
    flat = functions.cat(pieces)
    return [part.reshape(leaf._a.shape) for part, leaf in zip(flat.split([leaf.numel() for leaf in leaves]), leaves, strict=True)]


def laplacian(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The function that computes the Laplacian of `func`: the sum of the second derivatives by each element of an argument."""
    evaluate = hessian_diag(func, argnums)

    @named_after(func)
    def wrapper(*args: Any) -> Any:
        return sum(part.sum() for part in tree_flatten(evaluate(*args))[0])

    return wrapper
