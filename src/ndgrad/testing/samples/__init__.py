"""Sample inputs for every public operation: by default from its family, in the modules here where it needs special arguments.

A sample for derivatives must be a smooth point; special points (ties, zeros, bounds) belong into the tests of the operation.
"""

from ndgrad.testing.samples import elementwise as elementwise
from ndgrad.testing.samples import losses_and_layers as losses_and_layers
from ndgrad.testing.samples import making as making
from ndgrad.testing.samples import rearranging as rearranging
from ndgrad.testing.samples import reducing as reducing
from ndgrad.testing.samples import without_vmap as without_vmap
from ndgrad.testing.samples.registry import OPERATIONS as OPERATIONS
from ndgrad.testing.samples.registry import default_spec as default_spec
from ndgrad.testing.samples.registry import function_of as function_of
from ndgrad.testing.samples.registry import namespaced as namespaced
from ndgrad.testing.samples.registry import spec_of as spec_of
from ndgrad.testing.samples.registry import stale_entries as stale_entries
