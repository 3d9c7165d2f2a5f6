"""How a node runs its rules: `pull_through` for all there is, and for an ordinary backward through the common shapes of rules a function
without loops for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndgrad.core.node import Node, stale_error

Rule = Callable[..., Any]
#: What a rule's parameter is: its place in the node's `saved`, or -1 and the name of a parameter of the operation.
Plan = list[tuple[int, str]]
Pull = Callable[[Node, Any, tuple[Any, ...]], tuple[Any, ...]]

#: The same for either namespace: `xp`, the node, its residuals' values (payloads or tensors), the cotangent, the parents.
PullThrough = Callable[[Any, Node, Any, Any, tuple[Any, ...]], tuple[Any, ...]]


def pull_through(joint: Rule | None, rules: tuple[Rule | None, ...], plans: list[Plan], conjugates: bool) -> PullThrough:
    """What runs one rule per operand, or the joint one; where numbers may be complex, a rule without conjugates between two of them."""

    def arguments(node: Node, values: Any, plan: Plan) -> list[Any]:
        params: Any = node.params
        return [values[at] if at >= 0 else params[name] for at, name in plan]

    def through(xp: Any, node: Node, values: Any, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        if joint is not None:
            found: tuple[Any, ...] = joint(xp, g, tuple([edge is not None for edge in parents]), *arguments(node, values, plans[0]))
            return found
        if conjugates:
            g = xp.conj(g)
        cotangents = [
            None if edge is None or rule is None else rule(xp, g, *arguments(node, values, plan))
            for edge, rule, plan in zip(parents, rules, plans, strict=False)
        ]
        return tuple([None if c is None else xp.conj(c) for c in cotangents] if conjugates else cotangents)

    return through


def short_pull(raw: Any, rules: tuple[Rule | None, ...], plans: list[Plan]) -> Pull:
    """The pull on payloads of a node whose every operand has a rule of its own; `raw` is what rules get as `xp`."""
    first: Any = rules[0] if rules else None
    if len(rules) == 1 and plans[0] and all(at < 0 for at, _ in plans[0]):
        names = [name for _, name in plans[0]]

        def pull_linear(self: Node, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
            params: Any = self.params
            return (first(raw, g, *[params[name] for name in names]),)

        return pull_linear
    if not all(len(plan) <= 1 and all(at >= 0 for at, _ in plan) for plan in plans) or len(rules) > 2 or None in rules:
        return long_pull(raw, rules, plans)
    ats = [plan[0][0] if plan else None for plan in plans]
    if len(rules) == 1:
        if ats[0] is None:
            return lambda self, g, parents: (first(raw, g),)

        def pull_unary(self: Node, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
            saved = self.saved
            x, cell, version = saved
            if cell[0] != version:
                stale_error(self, 0)
            return (first(raw, g, x),)

        return pull_unary
    second: Any = rules[1]
    if ats == [None, None]:

        def pull_sum(self: Node, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
            x, y = parents
            return (None if x is None else first(raw, g), None if y is None else second(raw, g))

        return pull_sum
    at_x, at_y = ats
    if at_x is None or at_y is None:
        return long_pull(raw, rules, plans)

    def pull_binary(self: Node, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        saved = self.saved
        x, y = parents
        g_x = g_y = None
        if x is not None:
            if saved[at_x + 1][0] != saved[at_x + 2]:
                stale_error(self, at_x // 3)
            g_x = first(raw, g, saved[at_x])
        if y is not None:
            if saved[at_y + 1][0] != saved[at_y + 2]:
                stale_error(self, at_y // 3)
            g_y = second(raw, g, saved[at_y])
        return g_x, g_y

    return pull_binary


def long_pull(raw: Any, rules: tuple[Rule | None, ...], plans: list[Plan]) -> Pull:
    """The same for rules that need more, without what `pull_through` is asked beside."""
    planned = list(zip(rules, plans, strict=True))

    def pull_any(self: Node, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
        saved: Any = self.saved
        if saved is not None:
            self.check()
        params: Any = self.params
        cotangents: list[Any] = []
        for edge, (rule, plan) in zip(parents, planned, strict=True):
            if edge is None or rule is None:
                cotangents.append(None)
            else:
                cotangents.append(rule(raw, g, *[saved[at] if at >= 0 else params[name] for at, name in plan]))
        return tuple(cotangents)

    return pull_any
