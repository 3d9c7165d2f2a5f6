"""Checkpointing: a deep net that keeps one tensor per block for the backward, and computes the others a second time.

    python examples/checkpointing.py
    ndgrad run examples/checkpointing.py
"""

import torch
from torch.utils.checkpoint import checkpoint

torch.manual_seed(0)
WIDTH, DEPTH = 64, 12
weights = [(torch.randn(WIDTH, WIDTH) / WIDTH**0.5).requires_grad_() for _ in range(2 * DEPTH)]
inputs = torch.randn(128, WIDTH)
runs = 0


def block(x, first, second):
    global runs
    runs += 1
    inner = torch.nn.functional.dropout(torch.relu(x @ first), 0.1)
    return x + torch.tanh(inner @ second)


def loss_of(x, checkpointed):
    for number in range(0, len(weights), 2):
        pair = weights[number : number + 2]
        x = checkpoint(block, x, *pair, use_reentrant=False) if checkpointed else block(x, *pair)
    return x.square().mean()


gradients = {}
for checkpointed in (False, True):
    torch.manual_seed(1)  # dropout: the second run of a block draws the numbers of the first again
    runs, saved = 0, {}

    def count(tensor, saved=saved):
        if not tensor.is_leaf:
            saved[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    # What passes through the hooks is what the graph keeps alive until the backward.
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = loss_of(inputs, checkpointed)
    forward_runs = runs
    gradients[checkpointed] = torch.autograd.grad(loss, weights)
    print(f"checkpointed: {checkpointed!s:5}  loss {loss.item():.5f}")
    print(f"  blocks run: {forward_runs} forward, {runs - forward_runs} in the backward")
    print(f"  kept for the backward: {len(saved)} tensors, {sum(saved.values()):,} bytes")

same = all(torch.equal(x, y) for x, y in zip(gradients[False], gradients[True], strict=True))
print("the gradients are the same to the last bit:", same)
