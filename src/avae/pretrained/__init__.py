"""Other people's networks as feature extractors: pictures in, features out, nothing learned.

Mental model:

    spec.py         the registry: which kinds of networks there are; checks that need no PyTorch
    features.py     open a network with its weights, or restore it without weights, and check what it returns
    prepared.py     the module that avae gets: it prepares pictures and calls the network, in evaluation mode
    torchvision.py, timm.py, hf.py, code.py     one kind each: `open_network` and `restore_network`
    autoencoder_kl.py                           the part of hf.py that needs diffusers
    weights.py, hub.py, layers.py               files of weights; the model hub; the output of a sub-module

Opening looks for weights in files, in the caches of the libraries and, for names, in the internet. Restoring
needs none of these: a description is plain data, and avae's model file holds the weights.
"""
