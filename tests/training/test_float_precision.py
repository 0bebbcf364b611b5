import contextlib
import os
import threading
import warnings

import pytest
import torch

from ecgsk._training import float_precision
from ecgsk._training.float_precision import _Setting, float32_products

_NEWER = [("generic", "all"), ("cuda", "all"), ("mkldnn", "all")]
_NEWER += [(backend, op) for backend in ("cuda", "mkldnn") for op in ("matmul", "conv", "rnn")]
_OLDER = {
    "matmul": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cublas": (lambda: torch.backends.cuda.matmul.allow_tf32, None),
    "cudnn": (
        lambda: torch.backends.cudnn.allow_tf32,
        lambda value: setattr(torch.backends.cudnn, "allow_tf32", value),
    ),
}
has_newer = hasattr(torch._C, "_set_fp32_precision_setter")


def read(backend, op):
    return torch._C._get_fp32_precision_getter(backend, op)


def write(backend, op, value):
    torch._C._set_fp32_precision_setter(backend, op, value)


def visible():
    """Return all that the getters of both APIs return."""
    state = {}
    for name, (getter, _) in _OLDER.items():
        try:
            state[name] = getter()
        except RuntimeError:
            state[name] = "the two APIs disagree"
    return state | ({setting: read(*setting) for setting in _NEWER} if has_newer else {})


def state():
    """Return what is visible now, and what would be if the settings of parents were others.

    This tells a setting that was written from one that follows its parent.
    """
    states = [visible()]
    if has_newer:
        for parent in _NEWER[:3]:
            before = raw_of_parent(parent)
            for value in ("none", "ieee", "tf32"):
                write(*parent, value)
                states.append(visible())
            write(*parent, before)
    return states


def raw_of_parent(parent):
    generic = read("generic", "all")
    write("generic", "all", "none")
    value = generic if parent == ("generic", "all") else read(*parent)
    write("generic", "all", generic)
    return value


@pytest.fixture(autouse=True)
def settings_of_torch():
    """Start from torch's defaults, and come back to them."""

    def defaults():
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
        if has_newer:
            for setting in _NEWER:
                if setting not in (("cuda", "conv"), ("cuda", "rnn")):
                    write(*setting, "none")

    defaults()
    yield
    assert not float_precision._BLOCKS
    defaults()


def older(**values):
    def set_older():
        for name, value in values.items():
            if name == "cublas":
                torch.backends.cuda.matmul.allow_tf32 = value
            else:
                _OLDER[name][1](value)

    return set_older


def newer(**values):
    def set_newer():
        for name, value in values.items():
            write(*name.split("_"), value)

    return set_newer


def both(first, second):
    return lambda: (first(), second())


OF_USERS = {
    "defaults": older(),
    "high": older(matmul="high"),
    "medium": older(matmul="medium"),
    "cublas": older(cublas=True),
    "cublas off": older(cublas=False),
    "no cudnn": older(cudnn=False),
    "all": older(matmul="high", cudnn=True),
    "none": older(matmul="highest", cudnn=False),
    "medium, no cudnn": older(matmul="medium", cudnn=False),
}
if has_newer:
    OF_USERS |= {
        "generic ieee": newer(generic_all="ieee"),
        "generic tf32": newer(generic_all="tf32"),
        "generic bf16": newer(generic_all="bf16"),
        "cuda ieee": newer(cuda_all="ieee"),
        "cuda tf32": newer(cuda_all="tf32"),
        "matmul tf32": newer(cuda_matmul="tf32"),
        "matmul ieee, generic tf32": newer(cuda_matmul="ieee", generic_all="tf32"),
        "conv ieee": newer(cuda_conv="ieee"),
        "conv none": newer(cuda_conv="none", cuda_rnn="none"),
        "rnn ieee, conv tf32": newer(cuda_rnn="ieee", cuda_conv="tf32"),
        "mkldnn bf16": newer(mkldnn_all="bf16"),
        "mkldnn matmul bf16": newer(mkldnn_matmul="bf16"),
        "mkldnn conv bf16, rnn tf32": newer(mkldnn_conv="bf16", mkldnn_rnn="tf32"),
        "public names": lambda: (
            setattr(torch.backends, "fp32_precision", "tf32"),
            setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
            setattr(torch.backends.cuda.matmul, "fp32_precision", "ieee"),
            setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        ),
        "high, then matmul ieee": both(older(matmul="high"), newer(cuda_matmul="ieee")),
        "medium, then generic ieee": both(older(matmul="medium"), newer(generic_all="ieee")),
        "generic bf16, then high": both(newer(generic_all="bf16"), older(matmul="high")),
        "no cudnn, then conv tf32": both(older(cudnn=False), newer(cuda_conv="tf32")),
        "all parents": newer(generic_all="tf32", cuda_all="ieee", mkldnn_all="bf16"),
    }


@pytest.fixture(params=OF_USERS)
def of_user(request):
    OF_USERS[request.param]()
    return state()


def check_inside(device, allowed):
    """Check that both APIs agree on what is wanted."""
    seen = visible()
    assert seen["matmul"] == ("high" if allowed else "highest")
    assert seen["cublas"] is allowed
    if device != "cpu":
        assert seen["cudnn"] is allowed
    if not has_newer:
        return
    wanted = {"tf32"} if allowed else {"ieee", "none"}
    assert seen["cuda", "matmul"] in wanted
    if device != "cpu":
        assert {seen["cuda", "conv"], seen["cuda", "rnn"]} <= wanted
    for op in ("matmul", "conv", "rnn"):
        assert seen["mkldnn", op] in (wanted | {"ieee", "none"})


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda:1", "meta"])
def test_both_apis_agree_inside_and_are_as_before_afterwards(of_user, device, allowed):
    with float32_products(device, allow_tf32=allowed):
        check_inside(device, allowed)
    assert state() == of_user


@pytest.mark.parametrize("device", ["cpu", "mps", "xpu"])
def test_a_device_leaves_the_settings_of_others_alone(of_user, device):
    before = visible()
    with float32_products(device, allow_tf32=False):
        inside = visible()
    for setting in [("generic", "all"), ("cuda", "all"), ("cuda", "conv"), ("cuda", "rnn")]:
        assert inside.get(setting) == before.get(setting)
    assert inside["cudnn"] == before["cudnn"]
    assert state() == of_user


@pytest.mark.parametrize(("outer", "inner"), [(False, True), (True, False), (True, True)])
def test_the_stricter_of_nested_blocks_counts(of_user, outer, inner):
    with float32_products("cuda", allow_tf32=outer):
        with float32_products("cpu", allow_tf32=inner):
            assert visible()["matmul"] == ("high" if outer and inner else "highest")
            assert visible()["cudnn"] is outer
        check_inside("cuda", outer)
        with float32_products("cuda:1", allow_tf32=inner):
            check_inside("cuda", outer and inner)
        check_inside("cuda", outer)
    assert state() == of_user


def test_an_exception_puts_the_settings_back(of_user):
    with pytest.raises(ZeroDivisionError), float32_products("cuda", allow_tf32=False):
        raise ZeroDivisionError
    assert state() == of_user


def test_threads_that_overlap_leave_the_settings_as_they_were(of_user):
    inside, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    def predict(number, device, allowed):
        with float32_products(device, allow_tf32=allowed):
            inside.wait()
            leave[number].wait()

    threads = [
        threading.Thread(target=predict, args=(0, "cuda:0", False)),
        threading.Thread(target=predict, args=(1, "cuda:1", True)),
    ]
    for thread in threads:
        thread.start()
    inside.wait()
    check_inside("cuda", False)
    leave[0].set()
    threads[0].join()
    check_inside("cuda", True)
    leave[1].set()
    threads[1].join()
    assert state() == of_user


def test_threads_at_once_leave_the_settings_as_they_were():
    OF_USERS["medium, no cudnn"]()
    before, seen = state(), []

    def predict(device):
        for _ in range(50):
            with float32_products(device, allow_tf32=False):
                seen.append(torch.get_float32_matmul_precision())

    threads = [threading.Thread(target=predict, args=(d,)) for d in ("cpu", "cuda", "cpu", "xpu")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {"highest"}
    assert state() == before


def test_nothing_is_written_where_all_is_as_wanted(monkeypatch):
    def refuse(*args):
        raise AssertionError("a setting was written")

    monkeypatch.setattr(float_precision, "_write", refuse)
    for setting in float_precision._SETTINGS:
        monkeypatch.setattr(setting, "write", refuse)
    with float32_products("cpu", allow_tf32=False):
        pass


@pytest.mark.skipif(not has_newer, reason="this version of torch has one API")
def test_a_prediction_on_the_cpu_writes_no_setting_of_convolutions_on_cuda(monkeypatch):
    # From torch 2.13 on they have a default that no function can put back.
    written = []
    monkeypatch.setattr(
        float_precision, "_write", lambda *setting: (written.append(setting[:2]), write(*setting))
    )
    torch.set_float32_matmul_precision("medium")
    with float32_products("cpu", allow_tf32=False):
        pass
    assert ("mkldnn", "conv") in written
    assert not {("cuda", "conv"), ("cuda", "rnn")} & {*written}


def test_older_versions_of_torch_have_the_older_api_only(monkeypatch):
    monkeypatch.setattr(float_precision, "_write", None)
    values = {"precision": "medium"}
    setting = _Setting(
        lambda: values["precision"],
        lambda value: values.update(precision=value),
        {False: "highest", True: "high"},
        written=(("cuda", "matmul"),),
    )
    seen = []
    for wanted in (True, False, True, None):
        setting.allow_tf32(wanted)
        seen.append(values["precision"])
    assert seen == ["high", "highest", "high", "medium"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_drops_the_blocks_of_threads_that_it_does_not_have():
    torch.set_float32_matmul_precision("medium")
    before = state()
    entered, leave = threading.Event(), threading.Event()

    def predict():
        with float32_products("cuda", allow_tf32=False):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=predict)
    thread.start()
    entered.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads
        child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            assert state() == before
            with float32_products("cuda", allow_tf32=True):
                check_inside("cuda", True)
            assert state() == before
            os._exit(0)
        os._exit(1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert state() == before
