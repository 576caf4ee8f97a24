def pytest_configure(config):
    # torch scripts its own forward-mode formulas on first use, and warns of it.
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit.script:DeprecationWarning")
