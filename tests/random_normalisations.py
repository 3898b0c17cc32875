"""Networks whose normalisations have random statistics, as trained ones have."""

import torch


def randomised(module, seed=0):
    """Give the normalisations random statistics and scales, some of them negative; return the module in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            part.weight.data.normal_(generator=generator)
            part.bias.data.normal_(generator=generator)
    return module.eval()
