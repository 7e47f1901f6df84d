"""Share a model: a card that describes it, and the model hub.

Mental model:

    licences.py   the licences that the hub knows by name
    card.py       README.md and its pictures, from a model and what its run has measured
    push.py       upload weights, config, card, pictures and ONNX files, and nothing else

Downloading is `avae.hub`, which `avae.load` and all verbs use: it needs nothing of this package.
"""
