import equinox as eqx
import jax


class Net(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.LayerNorm
    mlp: eqx.nn.MLP

    def __init__(self, key):
        a, b = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(1, 4, 3, key=a)
        self.norm = eqx.nn.LayerNorm(144)
        self.mlp = eqx.nn.MLP(144, 10, 32, 2, key=b)

    def __call__(self, image):
        x = jax.nn.relu(self.conv(image))
        return self.mlp(self.norm(x.reshape(-1)))


class Batched(eqx.Module):
    net: Net

    def __call__(self, images):
        return jax.vmap(self.net)(images)
