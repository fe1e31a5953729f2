"""The page in the browser: open a photograph, hide parts of a face, restore it by several methods, edit it, save it."""
