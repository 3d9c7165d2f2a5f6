"""``ndgrad demo``: a network learns to read handwritten digits, every gradient computed by ndgrad."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ndgrad as torch
import ndgrad.nn.functional as F
from ndgrad.cli.digits import BRIGHTEST, SIDE, load_digits, side_by_side

EPOCHS = 60
HIDDEN = 256
BATCH = 32
LEARNING_RATE = 0.2
NOISE = 0.3
SHOWN = 5

Tensor = Any  # written as a program for PyTorch would be: nothing here knows how ndgrad makes its tensors


@dataclass
class Digits:
    """A part of the data: images of shape (n, 8, 8) scaled to 0..2, and labels."""

    images: Tensor
    labels: Tensor


def run_demo(*, seed: int, epochs: int, quiet: bool) -> int:
    """Train, test on digits the network has not seen, and show the result; the exit code."""
    torch.set_num_threads(1)  # matrices as small as these gain nothing from a second thread, and lose where the cores are busy
    torch.manual_seed(seed)
    training, held_out = split_digits()
    if not quiet:
        print(introduction(len(training.labels), len(held_out.labels)))
    began = time.perf_counter()
    network, loss = train(training, epochs, quiet)
    seconds = time.perf_counter() - began
    predictions = read_digits(network, held_out.images)
    correct = int((predictions == held_out.labels).sum().item())
    total = len(held_out.labels)
    accuracy = f"{100 * correct / total:.1f}% of {total} digits that it had never seen are read correctly"
    if quiet:
        print(accuracy)
    else:
        print(f"\n  Trained in {seconds:.1f} s, mean loss of the last epoch {loss:.4f}.")
        print(f"  {accuracy} ({total - correct} wrong).\n")
        print(gallery(held_out, predictions))
        print(what_next(seed))
    return 0


def split_digits() -> tuple[Digits, Digits]:
    """Two thirds to learn from, and a third to test with, chosen at random."""
    pixels, shown = load_digits()
    images = torch.from_numpy(pixels) * (2 / BRIGHTEST)
    labels = torch.from_numpy(shown)
    held_out, training = torch.randperm(len(labels)).split([len(labels) // 3, len(labels) - len(labels) // 3])
    return Digits(images[training], labels[training]), Digits(images[held_out], labels[held_out])


def make_parameters() -> list[Tensor]:
    pixels = SIDE * SIDE
    parameters = [
        torch.randn(pixels, HIDDEN) / pixels**0.5,
        torch.zeros(HIDDEN),
        torch.randn(HIDDEN, 10) / HIDDEN**0.5,
        torch.zeros(10),
    ]
    return [parameter.requires_grad_() for parameter in parameters]


def train(training: Digits, epochs: int, quiet: bool) -> tuple[Callable[[Tensor], Tensor], float]:
    """Plain stochastic gradient descent; the trained network and the mean loss of the last epoch."""
    from tqdm import tqdm

    parameters = make_parameters()
    weight, bias, output_weight, output_bias = parameters

    def network(images: Tensor) -> Tensor:
        hidden = torch.relu(images.reshape(-1, SIDE * SIDE) @ weight + bias)
        return hidden @ output_weight + output_bias

    mean_loss = float("nan")
    with tqdm(range(epochs), desc="  learning", unit="epoch", ncols=78, disable=quiet) as progress:
        for epoch in progress:
            rate = LEARNING_RATE * (1 - epoch / epochs)
            losses = []
            for chosen in torch.randperm(len(training.labels)).split(BATCH):
                logits = network(disturb(training.images[chosen]))
                loss = F.cross_entropy(logits, training.labels[chosen])
                loss.backward()
                with torch.no_grad():
                    for parameter in parameters:
                        parameter -= rate * parameter.grad
                        parameter.grad = None
                losses.append(loss.item())
            mean_loss = sum(losses) / len(losses)
            progress.set_postfix_str(f"loss {mean_loss:.4f}", refresh=epoch + 1 == epochs)
    return network, mean_loss


def disturb(images: Tensor) -> Tensor:
    """Add noise, and move every second batch by one pixel: a digit stays the same digit."""
    way = int(torch.randint(0, 8, (1,)).item())
    if way < 4:
        images = torch.roll(images, shifts=1 if way % 2 else -1, dims=1 + way // 2)
    return images + NOISE * torch.randn(images.shape)


def read_digits(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images).argmax(1)


def introduction(training: int, held_out: int) -> str:
    return f"""
  A network learns to read handwriting; ndgrad computes every gradient.

  data      {training + held_out:,} digits of 8 x 8 pixels (E. Alpaydin and C. Kaynak, UCI):
            {training:,} to learn from, {held_out:,} held out to test with
  network   64 - {HIDDEN} - 10, ReLU, cross entropy, SGD in batches of {BATCH}
"""


def gallery(held_out: Digits, predictions: Tensor) -> str:
    """A row of digits that were read correctly, and one of those that were not, as far as there are any."""
    fancy = can_encode("▟✓✗")
    right, wrong = "✓✗" if fancy else "+-"
    images, labels, read = held_out.images.numpy(), held_out.labels.tolist(), predictions.tolist()
    example = {label: index for index, label in enumerate(labels) if read[index] == label}
    hits = [example[label] for label in sorted(example)]
    hits = hits[:: max(1, len(hits) // SHOWN)][:SHOWN]
    misses = [index for index, label in enumerate(labels) if read[index] != label][:SHOWN]

    def row(indices: list[int], captions: list[str]) -> str:
        return side_by_side([images[index] * (BRIGHTEST / 2) for index in indices], captions, unicode=fancy)

    parts = []
    if hits:
        parts.append("  Some that it reads:\n\n" + row(hits, [f"{right} {read[index]}" for index in hits]))
    if misses:
        parts.append("  Some that it does not:\n\n" + row(misses, [f"{wrong} {labels[index]} read as {read[index]}" for index in misses]))
    return "\n\n".join(parts)


def can_encode(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def what_next(seed: int) -> str:
    return f"""
  Try next
    ndgrad demo --seed {seed + 1}            another start, another third held out
    ndgrad demo --epochs 5          how much it knows after five passes
    ndgrad run SCRIPT.py            a script of yours that says `import torch`

    python
    >>> import ndgrad as torch
    >>> x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x ** 2).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
"""
