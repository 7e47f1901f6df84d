"""Export the networks of a model to ONNX, for programs that have neither avae nor PyTorch.

Mental model:

    networks.py     what each file computes: names, shapes and meaning of its inputs and outputs
    to_onnx.py      conversion of a network, in single or half precision, and its comparison by onnxruntime
    description.py  preparation.json, which lies beside the networks: what a program must know to use them
    write.py        all of these, into a folder

A file computes what the model's own methods compute: batch-norm statistics are fixed, weights are those that
`avae.load` gives, and all noise is an input.
"""
