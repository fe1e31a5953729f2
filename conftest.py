"""What is left out of the collection of doctests: modules whose packages are an extra that is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("gradio") else ["occface/webapp/page.py"]
