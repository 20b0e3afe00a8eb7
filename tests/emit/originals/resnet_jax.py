from flax import linen as nn


class ResidualBlock(nn.Module):
    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x, train: bool = False):
        y = nn.Conv(self.features, (3, 3), strides=self.stride, use_bias=False)(x)
        y = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(y))
        y = nn.Conv(self.features, (3, 3), use_bias=False)(y)
        y = nn.BatchNorm(use_running_average=not train, momentum=0.9)(y)
        if x.shape != y.shape:
            x = nn.Conv(self.features, (1, 1), strides=self.stride, use_bias=False, name="shortcut")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    @nn.compact
    def __call__(self, images, train: bool = False):
        x = nn.relu(nn.Conv(16, (7, 7), strides=2)(images))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        x = ResidualBlock(16)(x, train)
        x = ResidualBlock(32, 2)(x, train)
        x = x.mean((1, 2))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(10)(x)


class Stage(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(nn.relu(nn.Conv(self.features, (3, 3), name="conv")(x)))
        return nn.max_pool(x, (2, 2), strides=(2, 2))


class Stages(nn.Module):
    @nn.compact
    def __call__(self, x):
        for n in range(3):
            x = Stage(16 * 2**n, name=f"stage{n}")(x)
        return nn.Dense(5)(x.reshape((x.shape[0], -1)))
