"""Truncated backpropagation through time: a recurrent net learns a wave, and gradients end at the edge of each window.

    python examples/truncated_bptt.py
    ndgrad run examples/truncated_bptt.py
"""

import torch

torch.manual_seed(0)
HIDDEN, STEPS, WINDOW = 16, 60, 12
from_input = (torch.randn(1, HIDDEN) * 0.5).requires_grad_()
from_state = (torch.randn(HIDDEN, HIDDEN) / HIDDEN**0.5).requires_grad_()
bias = torch.zeros(HIDDEN, requires_grad=True)
to_output = (torch.randn(HIDDEN, 1) * 0.3).requires_grad_()
parameters = [from_input, from_state, bias, to_output]
wave = torch.sin(torch.arange(STEPS + 1) * 0.3).reshape(-1, 1, 1)


def window_loss(state, start):
    """The mean error of predicting each next value of a window, and the state after it."""
    loss = torch.zeros(())
    for time in range(start, start + WINDOW):
        state = torch.tanh(wave[time] @ from_input + state @ from_state + bias)
        loss = loss + (state @ to_output - wave[time + 1]).square().mean()
    return loss / WINDOW, state


for epoch in range(8):
    state, losses = torch.zeros(1, HIDDEN), []
    for start in range(0, STEPS, WINDOW):
        # The numbers go on into the next window, their history does not.
        loss, state = window_loss(state.detach(), start)
        loss.backward()
        with torch.no_grad():
            for parameter in parameters:
                parameter -= 0.1 * parameter.grad
                parameter.grad = None
        losses.append(loss.item())
    print(f"epoch {epoch}:", " ".join(f"{loss:.4f}" for loss in losses))

# Without the detach, the second backward walks on into the first window, whose graph is used up.
state = torch.zeros(1, HIDDEN)
try:
    for start in range(0, STEPS, WINDOW):
        loss, state = window_loss(state, start)
        loss.backward()
except RuntimeError as error:
    print(f"at time {start}:", str(error).split(" (")[0])
