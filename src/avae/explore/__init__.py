"""The page of `avae explore`: a trained model to play with in the browser.

`explored.py` holds what all visitors share and nobody changes: the model, the codes of training pictures and
their directions. `shown.py` holds what one visitor looks at, an immutable value: a code, a seed of xi,
realism and amounts of directions. Every control makes another such value, and `drawn.py` turns it into
pictures. `directions.py`, `neighbours.py`, `code_map.py`, `path.py` and `upload.py` hold an idea each, and
`html.py` writes pictures as HTML. None of these knows Gradio.

`page.py` lays out the page, whose tabs have a file each, and `stage.py` is what the tabs share. Their
handlers turn a `Shown` and the values of controls into another `Shown` and HTML. `serve.py` starts and ends
the server.
"""
