"""`torch.testing`: comparing tensors and making random ones. (What proves the op table is in the modules beside this one.)"""

from ndgrad.testing.comparison import assert_close as assert_close
from ndgrad.testing.comparison import default_tolerances as default_tolerances
from ndgrad.testing.creation import make_tensor as make_tensor

__all__ = ["assert_close", "make_tensor"]
