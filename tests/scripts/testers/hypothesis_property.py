from hypothesis import given, settings, strategies as st


@settings(max_examples=50, deadline=None, database=None, derandomize=True)
@given(st.lists(st.integers()))
def sorting_twice_changes_nothing(numbers):
    assert sorted(sorted(numbers)) == sorted(numbers)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(st.integers())
def all_are_small(number):
    assert number < 1000


sorting_twice_changes_nothing()
try:
    all_are_small()
except AssertionError:
    print("found a counterexample")
