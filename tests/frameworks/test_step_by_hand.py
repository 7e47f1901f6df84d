"""One step of every framework, written out from the paper: separate passes, `detach`, Adam's first step."""

import pytest
import torch
from made import MADE, items_and_noise, make
from torch.nn.functional import cross_entropy, softplus

from avae.engine.optimizers import AdamSettings, make_optimizers
from avae.engine.step import Phase, training_step


@pytest.mark.parametrize("name", MADE)
def test_one_step_equals_one_by_hand(name):
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    expected = _adams_first_step(BY_HAND[name.split("-")[0]](make(name), name, x, noise))
    optimizers = make_optimizers(framework.networks, AdamSettings(1e-3, multipliers={"log_sigma": 7.0}))
    phases = [Phase("main", framework.losses, framework.networks)]
    training_step(0, phases, optimizers, lambda step, phase: [(x, noise)])
    found = dict(torch.nn.ModuleDict(framework.networks).named_parameters())
    assert found.keys() == expected.keys()
    for key, value in found.items():
        torch.testing.assert_close(value.detach(), expected[key], rtol=1e-9, atol=1e-12, msg=key)


def _adams_first_step(grads):
    """Both moments, bias-corrected, are the gradient and its square."""
    return {
        key: p.detach() - (7e-3 if "log_sigma" in key else 1e-3) * g / (g.abs() + 1e-7)
        for key, (p, g) in grads.items()
    }


def _vae(f, name, x, noise):
    """Fig. 4, first half: encoder and decoder descend L_R + beta L_P."""
    E, D = f.encoder, f.decoder
    mu, sigma = E(x)
    l_vae = 0.5 * ((D(mu + noise["eps"] * sigma) - x) ** 2).sum() / len(x) + f.representation.beta * _kl(
        mu, sigma
    )
    return _grads(l_vae, "encoder", E) | _grads(l_vae, "decoder", D)


def _avae(f, name, x, noise):
    """Fig. 4, the weighting of L_Z included."""
    E, G, C = f.encoder, f.generator, f.critic
    xi, s = [noise["xi"]] if "xi" in noise else [], E.log_sigma.detach().exp()
    scale = (1 - s**2).clamp(min=0).sqrt() if name.split("-")[2] == "b" else torch.ones_like(s)
    z, asked = noise["z"].clone(), torch.ones(len(x))
    codes = torch.where(s < 0.995, E(x)[0].detach() / scale.where(s < 0.995, 1), z)
    pairs = name.endswith("pairs")
    rows = [0, 0, 2, 2, 4, 4][: len(x)] if pairs or name.endswith("paired") else list(range(len(x)))
    if pairs or name.endswith("paired"):
        z = codes[rows]
    label, label_of_z = ([noise["labels"]], [noise["labels"][rows]]) if "classes" in name else ([], [])
    if name.endswith("pictures"):
        asked = 2.0 * (noise["choice"][:, 0] > 0)
        z[asked > 0] = codes[asked > 0]
    fake = G(z, *xi, *label_of_z)
    real, drawn = _views(f, noise)
    sees_code = pairs or name.endswith("paired")
    with_code, with_z = ([codes, *label], [z, *label_of_z]) if sees_code else (label, label_of_z)
    l_c = (softplus(C(real(x), *with_code)) + softplus(-C(drawn(fake.detach()), *with_z))).mean()
    image = fake.detach().requires_grad_()
    l_m = C(drawn(image), *with_z)
    (g_m,) = torch.autograd.grad((softplus(l_m) if pairs else l_m).mean(), image)
    l_z = 0.5 * (asked[:, None] * ((E(image)[0] - scale * z) / s) ** 2).sum() / len(x)
    (g_z,) = torch.autograd.grad(l_z, image)
    if "balanced" in name:
        for i in range(len(x)):
            g_z[i] *= min(1.0, float(0.5 * g_m[i].norm() / g_z[i].norm().clamp(min=1e-30)))
    elif pairs:
        g_z *= 0
    else:
        g_z *= 0.1 if "equation" in name else 64 / (s**-2).sum()
    if pairs:
        g_m = g_m + 0.2 * _energy_gradient(x, image, len(x) // 2)
    through_g = _grads((fake * (g_m + g_z)).sum(), "generator", G)
    of_representation = (_classifier if "classifier" in name else _vae)(f, name, x, noise)
    if "own_head" in name:
        of_head = cross_entropy(f.head(E(x)[0].detach()), noise["labels"])
        of_representation |= _grads(of_head, "head", f.head)
    return of_representation | _grads(l_c, "critic", C) | through_g


def _classifier(f, name, x, noise):
    """The variational information bottleneck, and L_R of a decoder that reads its codes as constants."""
    E, H, D = f.encoder, f.representation.head, f.decoder
    mu, sigma = E(x)
    z = mu + noise["eps"] * sigma
    l_e = cross_entropy(H(z), noise["labels"]) + 1e-3 * _kl(mu, sigma)
    l_r = 0.5 * ((D(z.detach()) - x) ** 2).sum() / len(x)
    return _grads(l_e, "encoder", E) | _grads(l_e, "head", H) | _grads(l_r, "decoder", D)


def _energy_gradient(x, image, pairs):
    """The mean over pairs of (|a - x| + |b - x| - |a - b|) / 2."""
    total = 0
    for i in range(pairs):
        of, a, b = x[2 * i], image[2 * i], image[2 * i + 1]
        total = total + ((a - of).norm() + (b - of).norm() - (a - b).norm()) / 2
    (gradient,) = torch.autograd.grad(total / pairs, image)
    return gradient


def _gan(f, name, x, noise):
    G, C = f.generator, f.critic
    fake = G(noise["z"])
    real, drawn = _views(f, noise)
    l_c = (softplus(C(real(x))) + softplus(-C(drawn(fake.detach())))).mean()
    return _grads(C(drawn(fake)).mean(), "generator", G) | _grads(l_c, "critic", C)


def _vaegan(f, name, x, noise):
    """Features as the layers make them: an MLP's last hidden units; a 16 px critic's last feature map."""
    E, D, C = f.encoder, f.decoder, f.critic

    def features(items):
        if name.endswith("points"):
            return C.layers[:-1](items)
        maps = C.body if name.endswith("stylegan2") else C.blocks
        return maps(items).flatten(1)

    def l_f(items):
        return 0.5 * ((features(real(items)) - features(real(x)).detach()) ** 2).sum() / len(x)

    real, fake = _views(f, noise)
    mu, sigma = E(x)
    code = mu + noise["eps"] * sigma
    l_e = f.representation.beta * _kl(mu, sigma) + l_f(D(code))
    rebuilt, drawn = D(code.detach()), D(noise["z"])
    l_d = 0.01 * l_f(rebuilt) + C(real(rebuilt)).mean() + C(fake(drawn)).mean()
    l_c = softplus(C(real(x))) + softplus(-C(real(rebuilt.detach()))) + softplus(-C(fake(drawn.detach())))
    l_c = l_c.mean()
    return _grads(l_e, "encoder", E) | _grads(l_d, "decoder", D) | _grads(l_c, "critic", C)


def _bigan(f, name, x, noise):
    E, G, C = f.encoder, f.generator, f.critic
    z = noise["z"]
    code, fake = E(x), G(z)
    real, drawn = _views(f, noise)
    l_e = 10 * softplus(-C(real(x), code)).mean()  # the other pair holds no parameter of the encoder
    l_g = softplus(C(drawn(fake), z)).mean()
    l_c = (softplus(C(real(x), code.detach())) + softplus(-C(drawn(fake.detach()), z))).mean()
    return _grads(l_e, "encoder", E) | _grads(l_g, "generator", G) | _grads(l_c, "critic", C)


def _alice(f, name, x, noise):
    """Explicit cycles: L1, as means over values; each network in a pass of its own."""
    E, G, C = f.encoder, f.generator, f.critic
    z, lam = noise["z"], 0.7
    l_e = softplus(-C(x, E(x))).mean() + lam * (x - G(E(x))).abs().mean()
    l_e = l_e + lam * (z - E(G(z).detach())).abs().mean()
    l_g = softplus(C(G(z), z)).mean() + lam * (z - E(G(z))).abs().mean()
    l_g = l_g + lam * (x - G(E(x).detach())).abs().mean()
    l_c = (softplus(C(x, E(x).detach())) + softplus(-C(G(z).detach(), z))).mean()
    return _grads(l_e, "encoder", E) | _grads(l_g, "generator", G) | _grads(l_c, "critic", C)


def _implicit_alice(f, name, x, noise):
    E, G, C, P = f.encoder, f.generator, f.critic, f.pair_critic
    real, fake = _views(f, noise)
    z, lam = noise["z"], 0.7

    def judged(other):
        return P(real(x), real(x)), P(real(x), real(other))

    def cycle(other):
        same, rebuilt = judged(other)
        return (softplus(-same) + softplus(rebuilt)).mean()

    l_e = softplus(-C(real(x), E(x))).mean() + lam * cycle(G(E(x)))
    l_e = l_e + lam * (z - E(G(z).detach())).abs().mean()
    l_g = softplus(C(fake(G(z)), z)).mean() + lam * cycle(G(E(x).detach()))
    l_g = l_g + lam * (z - E(G(z))).abs().mean()
    l_c = (softplus(C(real(x), E(x).detach())) + softplus(-C(fake(G(z).detach()), z))).mean()
    same, rebuilt = judged(G(E(x)).detach())
    l_p = (softplus(same) + softplus(-rebuilt)).mean()
    through = {"encoder": (l_e, E), "generator": (l_g, G), "critic": (l_c, C), "pair_critic": (l_p, P)}
    return {k: v for key, (loss, net) in through.items() for k, v in _grads(loss, key, net).items()}


def _svae(f, name, x, noise):
    E, G, C = f.encoder, f.generator, f.critic
    z, lam, eps = noise["z"], 0.7, noise["eps"]

    def of_codes(items):
        mu, sigma = E(items)
        return (((z - mu) ** 2 / sigma**2 / 2) + sigma.log()).sum(1).mean() / z.shape[1]

    mu, sigma = E(x)
    code = mu + eps * sigma
    l_e = -C(x, code).mean() + lam * ((G(code) - x) ** 2).mean() / 2 + lam * of_codes(G(z).detach())
    l_g = C(G(z), z).mean() + lam * ((G(code.detach()) - x) ** 2).mean() / 2 + lam * of_codes(G(z))
    l_c = (softplus(C(x, code.detach())) + softplus(-C(G(z).detach(), z))).mean()
    return _grads(l_e, "encoder", E) | _grads(l_g, "generator", G) | _grads(l_c, "critic", C)


def _idgan(f, name, x, noise):
    """-log q(c | G(s, c)) is Eq. 12 of codes sampled from posteriors, up to a constant."""
    E, D, G, C = f.encoder, f.decoder, f.generator, f.critic
    mu, sigma = E(x)
    code = mu + noise["eps"] * sigma
    l_vae = 0.5 * ((D(code) - x) ** 2).sum() / len(x) + 2.0 * _kl(mu, sigma)
    code, sigma = code.detach(), sigma.detach()
    fake = G(code, noise["xi"])
    information = 0.5 * (((E(fake)[0] - code) / sigma) ** 2).sum(1).mean()
    l_g = softplus(C(fake)).mean() + 0.1 * information
    l_c = (softplus(C(x)) + softplus(-C(fake.detach()))).mean()
    vae = _grads(l_vae, "encoder", E) | _grads(l_vae, "decoder", D)
    return vae | _grads(l_g, "generator", G) | _grads(l_c, "critic", C)


def _ian(f, name, x, noise):
    """Ternary cross-entropies, features of VAE/GAN, rows of filters orthonormal; the trunk a critic only."""
    E, D, C = f.encoder, f.decoder, f.critic
    points, style = name.endswith("points"), name.endswith("stylegan2")

    def features(items):
        body = C.layers[:-1] if points else C.body if style else C.blocks
        return body(items)

    def cross_entropies(items, label):
        return cross_entropy(C(items), torch.full((len(items),), label))

    def ortho(net):
        total = 0
        for key, weight in net.named_parameters():
            if weight.ndim == 4 and key.endswith("weight"):
                scaled = weight / (weight[0].numel() ** 0.5 if style else 1)
                for w in scaled:
                    w = torch.cat(list(w), 1)  # rows of all channels side by side
                    total = total + (w @ w.T - torch.eye(len(w), dtype=w.dtype)).abs().sum()
        return total

    real, fake = _views(f, noise)
    mu, sigma = E(features(x).detach())
    code = mu + noise["eps"] * sigma

    def likeness(rebuilt):
        l_f = ((features(real(rebuilt)) - features(real(x)).detach()) ** 2).mean()
        return 3 * (2 * (rebuilt - x).abs()).mean() + l_f + cross_entropies(real(rebuilt), 0)

    rebuilt, drawn = D(code.detach()), D(noise["z"])
    l_e = likeness(D(code)) + 0.5 * _kl(mu, sigma) / len(sigma)
    l_d = likeness(rebuilt) + cross_entropies(fake(drawn), 0) + 1e-3 * ortho(D)
    l_c = cross_entropies(real(x), 0) + cross_entropies(real(rebuilt.detach()), 1)
    l_c = l_c + cross_entropies(fake(drawn.detach()), 2) + 1e-3 * ortho(C)
    return _grads(l_e, "encoder", E) | _grads(l_d, "decoder", D) | _grads(l_c, "critic", C)


def _kl_each(mu, sigma):
    return 0.5 * (sigma**2 + mu**2 - 1 - (sigma**2).log()).sum(1)


def _introvae(f, name, x, noise):
    """Eqs. 11 and 12 of the paper, with the weights 1 and beta of a VAE."""
    E, D, m, beta = f.encoder, f.decoder, 30.0, 0.5
    mu, sigma = E(x)
    code = mu + noise["eps"] * sigma
    l_r = 0.5 * ((D(code) - x) ** 2).sum() / len(x)
    fakes = [D(code.detach()), D(noise["z"])]
    hinges = sum(torch.relu(m - _kl_each(*E(fake.detach()))).mean() for fake in fakes)
    l_e = l_r + beta * (_kl(mu, sigma) + 0.25 * hinges)
    l_d = 0.5 * ((fakes[0] - x) ** 2).sum() / len(x) + beta / 2 * sum(_kl(*E(fake)) for fake in fakes)
    return _grads(l_e, "encoder", E) | _grads(l_d, "decoder", D)


def _softintrovae(f, name, x, noise):
    """The objectives as its authors' text has them, alpha = 2."""
    E, D, beta, negative, s = f.encoder, f.decoder, 0.5, 2.0, 1 / x[0].numel()
    mu, sigma = E(x)
    code = mu + noise["eps"] * sigma
    l_r = 0.5 * ((D(code) - x) ** 2).sum() / len(x)
    fakes = {"rebuilt": D(code.detach()), "drawn": D(noise["z"])}
    l_e = s * (l_r + beta * _kl(mu, sigma))
    l_d = s * 0.5 * ((fakes["rebuilt"] - x) ** 2).sum() / len(x)
    for kind, fake in fakes.items():
        mu_f, sigma_f = E(fake.detach())
        code_f = mu_f + noise[f"eps_{kind}"] * sigma_f
        lost = 0.5 * ((D(code_f) - fake.detach()) ** 2).flatten(1).sum(1)
        l_e = l_e + 0.25 * torch.exp(-2 * s * (lost + negative * _kl_each(mu_f, sigma_f))).mean()
        again = 0.5 * ((D(code_f.detach()) - fake.detach()) ** 2).flatten(1).sum(1).mean()
        l_d = l_d + s * (0.5 * beta * _kl(*E(fake)) + 0.5e-8 * again)
    return _grads(l_e, "encoder", E) | _grads(l_d, "decoder", D)


BY_HAND = {
    "ALICE": _alice,
    "ImplicitALICE": _implicit_alice,
    "SymmetricVAE": _svae,
    "IntroVAE": _introvae,
    "SoftIntroVAE": _softintrovae,
    "IDGAN": _idgan,
    "ian": _ian,
    "vae": _vae,
    "gan": _gan,
    "vaegan": _vaegan,
    "bigan": _bigan,
    "avae": _avae,
}


def _views(f, noise):
    """Return the augmentations of real and of generated items."""
    if "augment_real" not in noise:
        return lambda items: items, lambda items: items
    return (
        lambda items, own=noise[f"augment_{kind}"]: f.augmentation(items, own) for kind in ("real", "fake")
    )


def _kl(mu, sigma):
    return 0.5 * (sigma**2 + mu**2 - 1 - (sigma**2).log()).sum() / len(mu)


def _grads(loss, name, network):
    """Differentiate a loss for one network; return its parameters and their gradients, by name."""
    parameters = dict(network.named_parameters())
    values = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
    return {f"{name}.{key}": (p, g) for (key, p), g in zip(parameters.items(), values, strict=True)}
