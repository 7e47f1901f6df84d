"""Networks: plain modules, independent of losses, optimizers and devices.

A `NetworkFamily` lists what belongs together: factories of encoder, decoder, generator and critic, image
sizes and default hyper-parameters. Families are mlp.py (points), dcgan.py (the paper's networks) and
stylegan2/; gaussian.py adds the posterior scale to an encoder, joint.py is BiGAN's critic of pairs, and
feature_head.py the body of IAN's encoder. Start with family.py; to add a family, write one file with a
`FAMILY` and add it to recipes/networks.py.
"""
