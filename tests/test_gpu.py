"CPU and CUDA give the same numbers: the network, its gradient, probabilities, and a short training. Skipped, with a word, where there is no CUDA device."
import numpy as np, pytest, torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device on this machine')]

def inputs(n=48, npts=128):
    "Two classes of pairs: those in which the second trace follows the first, and those in which it does not"
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, n, npts)).cumsum(-1)/8
    same = np.arange(n) % 2 == 0
    x = np.stack([a, np.where(same[:, None], a, b)], 1).astype(np.float32)
    return torch.from_numpy(x), np.where(same, 'same', 'other').astype(object)

def network():
    from fwinb.models.resnet import ResNet1d
    torch.manual_seed(0)
    return ResNet1d(classes=2, filters=(8, 16, 16))

def test_network_and_gradient_in_double():
    x, _ = inputs()
    found = []
    for device in ('cpu', 'cuda'):
        net, v = network().double().to(device), x.double().to(device).requires_grad_()
        out = net(v)
        out.square().sum().backward()
        found.append((out.detach().cpu(), v.grad.cpu()))
    for one, two in zip(*found): torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-9)

@pytest.mark.parametrize('bf16, tolerance', [(False, 2e-3), (True, 3e-2)])   # TF32 in cuDNN has ten bits, bfloat16 seven
def test_probabilities(bf16, tolerance):
    from fwinb.models.inference import predict_proba
    x, _ = inputs()
    one, two = (predict_proba(network().to(d), x, bf16=bf16) for d in ('cpu', 'cuda'))
    np.testing.assert_allclose(one, two, atol=tolerance)

def test_training():
    from fwinb.models.train import fit, index_loaders, make_learner
    x, labels = inputs()
    def losses(device):
        dls = index_loaders(x, labels, np.arange(32), np.arange(32, 48), ('same', 'other'), 8, device=device)
        assert dls.train.one_batch()[0].device.type == device
        return fit(make_learner(dls, network(), 1e-3), 3, progress=False)
    one, two = losses('cpu'), losses('cuda')
    assert one.train_loss.iloc[-1] < one.train_loss.iloc[0]                      # it learns
    np.testing.assert_allclose(one.train_loss, two.train_loss, rtol=.02)
