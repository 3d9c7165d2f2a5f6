"""Pictures of the recorded graph: `print(ndgrad.viz.graph(loss))`, or `.save("graph.html")`."""

from ndgrad.viz.drawing import Drawing as Drawing
from ndgrad.viz.drawing import graph as graph
