"""The names of `softgrad.linear_model`, and the packages that it needs."""

import softgrad.linear_model


def test_all_names_what_the_package_exports():
    assert sorted(softgrad.linear_model.__all__) == softgrad.linear_model.__all__
    for name in softgrad.linear_model.__all__:
        assert getattr(softgrad.linear_model, name).__doc__
